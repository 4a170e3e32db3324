"""The loop, whatever computes an epoch: pairing, history, divergence, checkpoints, evaluation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import checkpoints, datasets, evaluation, files, paths, recipes, tables, training
from cobaye.errors import StaleFile

CLASSES, SIZE = 4, 6
DATA = recipes.Data("d", None)
OPTIMIZER = recipes.Optimizer(
    algorithm=recipes.Kind("sgd", {"momentum": 0.9, "nesterov": False}),
    learning_rate=0.05,
    schedule=recipes.Kind("step", {"step_size": 2, "gamma": 0.5}),
    batch_size=16,
    epochs=4,
    normalize="global",
)
TRAINING = recipes.Training(
    data=DATA,
    engine="linear",
    model=recipes.Kind("linear", {}),
    optimizer=OPTIMIZER,
    weight_decay=0.01,
    penalize_bias=True,
    seed=0,
)
IDENTITY = {"study": "s", "model": "m", "optimizer": "o", "weight_decay": "0.01", "seed": 0}


@pytest.fixture
def root(tmp_path):
    """A folder with a small dataset whose classes differ in brightness."""
    generator = np.random.default_rng(0)
    splits = {}
    for split, n in {"train": 90, "val": 30, "test": 40}.items():
        labels = generator.integers(0, CLASSES, n)
        noise = generator.normal(0, 40, (n, 1, SIZE, SIZE))
        images = np.clip(60 + 40 * labels[:, None, None, None] + noise, 0, 255)
        splits[split] = (images.astype(np.uint8), labels)
    prepared = datasets.Prepared([{"name": f"c{i}"} for i in range(CLASSES)], splits)
    folder = tmp_path / paths.DATASET.format(dataset="d")
    made = datasets.write(prepared, folder)
    info = {"classes": CLASSES, "shape": [1, SIZE, SIZE], "form": "images"}
    files.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    return tmp_path


def train(root, recipe=TRAINING, **identity):
    path = training.train(recipe, {**IDENTITY, **identity}, "code", root=root)
    return path.parent, files.read_json(path)


def history(folder):
    return pd.read_csv(folder / "history.csv")


def weights(folder, epoch):
    return checkpoints.load(folder / "checkpoints" / paths.checkpoint(epoch))


def test_a_run_leaves_a_checkpoint_and_a_row_per_epoch(root):
    folder, manifest = train(root)
    rows = history(folder)
    assert list(rows.columns) == list(training.COLUMNS)
    assert list(rows["epoch"]) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(rows["learning_rate"][1:], [0.05, 0.05, 0.025, 0.025])
    assert manifest["info"] == {"epochs": 4, "stopped": "all epochs", "finite": True}
    for epoch in range(5):
        name = f"checkpoints/{paths.checkpoint(epoch)}"
        assert manifest["files"][name]["sha256"] == files.sha256(folder / name)
        own = weights(folder, epoch)
        theta = torch.cat([own["head.weight"].flatten(), own["head.bias"]]).double()
        row = rows.iloc[epoch]
        assert row["weight_l1"] == pytest.approx(theta.abs().sum().item(), rel=1e-12)
        assert row["weight_l2"] == pytest.approx(theta.norm().item(), rel=1e-12)
    np.testing.assert_allclose(rows["objective"], rows["loss"] + rows["penalty"])
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[1]


def test_runs_of_one_seed_share_initial_weights_and_order(root):
    first, _ = train(root)
    other, _ = train(
        root, dataclasses.replace(TRAINING, weight_decay=0.0), weight_decay="0", model="other"
    )
    seeded, _ = train(root, dataclasses.replace(TRAINING, seed=1), seed=1)
    torch.testing.assert_close(weights(first, 0), weights(other, 0), rtol=0, atol=0)
    assert not torch.equal(weights(first, 0)["head.weight"], weights(seeded, 0)["head.weight"])
    orders = [training.batch_order(0, epoch, 50) for epoch in (1, 1, 2)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert sorted(orders[0].tolist()) == list(range(50))


@pytest.mark.parametrize("penalize_bias", [True, False])
@pytest.mark.parametrize("nesterov", [True, False])
def test_closed_form_and_autograd_train_alike(root, penalize_bias, nesterov):
    """The linear engine against torch's own gradient and optimizer, whole runs."""
    algorithm = recipes.Kind("sgd", {"momentum": 0.9, "nesterov": nesterov})
    recipe = dataclasses.replace(
        TRAINING,
        penalize_bias=penalize_bias,
        optimizer=dataclasses.replace(OPTIMIZER, algorithm=algorithm),
    )
    closed, _ = train(root, recipe)
    autograd, _ = train(root, dataclasses.replace(recipe, engine="network"), model="autograd")
    for epoch in range(5):
        torch.testing.assert_close(
            weights(closed, epoch), weights(autograd, epoch), rtol=1e-4, atol=1e-5
        )
    columns = ["loss", "penalty", "accuracy", "weight_l2"]
    np.testing.assert_allclose(history(closed)[columns], history(autograd)[columns], rtol=1e-3)


@pytest.mark.parametrize("engine", ["linear", "network"])
def test_a_diverged_run_is_a_result_with_its_reason(root, engine):
    optimizer = dataclasses.replace(OPTIMIZER, learning_rate=1e30)
    recipe = dataclasses.replace(TRAINING, optimizer=optimizer, engine=engine)
    folder, manifest = train(root, recipe)
    assert manifest["info"]["finite"] is False
    assert manifest["info"]["stopped"].startswith("diverged in epoch")
    last = manifest["info"]["epochs"]
    assert last < 4
    assert not math.isfinite(history(folder)["objective"].iloc[-1])
    evaluation_of(root, recipe, manifest)
    metrics = pd.read_parquet(folder / "metrics.parquet")
    assert metrics["epoch"].max() == last
    # NaN logits: nothing is right.
    assert metrics[metrics["epoch"] == last]["accuracy"].max() <= 1.0


def evaluation_of(root, recipe, manifest, train_epochs="every"):
    told = recipes.Evaluation(DATA, recipe.model, train_epochs)
    expected = files.stage_fingerprint(manifest["recipe"], manifest["code"])
    return evaluation.evaluate(told, manifest["identity"], "code", expected, root=root).parent


def test_evaluation_agrees_with_float64_by_hand(root):
    folder, manifest = train(root)
    evaluation_of(root, TRAINING, manifest)
    metrics = pd.read_parquet(folder / "metrics.parquet")
    classes = pd.read_parquet(folder / "classes.parquet")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert len(metrics) == 5 * 3
    source = root / "resources/datasets/d"
    for epoch in (0, 4):
        own = {k: v.numpy().astype(np.float64) for k, v in weights(folder, epoch).items()}
        images = np.load(source / "test/images.npy") / 255
        labels = np.load(source / "test/labels.npy")
        flat = ((images - own["normalization.mean"]) / own["normalization.std"]).reshape(40, -1)
        logits = flat @ own["head.weight"].T + own["head.bias"]
        loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(40), labels]
        row = metrics[(metrics["epoch"] == epoch) & (metrics["split"] == "test")].iloc[0]
        assert row["loss"] == pytest.approx(loss.mean(), rel=1e-5)
        assert row["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
        mine = classes[(classes["epoch"] == epoch) & (classes["split"] == "test")]
        for c in range(CLASSES):
            assert mine["loss"].iloc[c] == pytest.approx(loss[labels == c].mean(), rel=1e-5)
        if epoch == 4:
            last = predictions[predictions["split"] == "test"]
            np.testing.assert_array_equal(last["predicted"], logits.argmax(1))
            np.testing.assert_allclose(last["loss"], loss, rtol=1e-4, atol=1e-6)


def test_the_class_table_sums_up_to_the_whole(root):
    folder, manifest = train(root)
    evaluation_of(root, TRAINING, manifest)
    metrics = pd.read_parquet(folder / "metrics.parquet").set_index(["epoch", "split"])
    classes = pd.read_parquet(folder / "classes.parquet")
    for (epoch, split), part in classes.groupby(["epoch", "split"]):
        for measure in ("loss", "accuracy"):
            whole = (part["n"] * part[measure]).sum() / part["n"].sum()
            assert whole == pytest.approx(metrics.loc[(epoch, split), measure], rel=1e-6)


def test_train_is_evaluated_at_the_last_epoch_only_if_told_so(root):
    folder, manifest = train(root)
    evaluation_of(root, TRAINING, manifest, train_epochs="last")
    metrics = pd.read_parquet(folder / "metrics.parquet")
    assert list(metrics[metrics["split"] == "train"]["epoch"]) == [4]
    assert len(metrics[metrics["split"] == "val"]) == 5


def test_a_tie_and_nan_count_against_the_image():
    logits = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [torch.nan] * 3])
    found = evaluation.scores(iter([logits]), torch.tensor([0, 0, 0]))
    assert list(found.rank) == [1, 0, 2]


def test_a_flipped_bit_in_a_checkpoint_stops_evaluation(root):
    folder, manifest = train(root)
    path = folder / "checkpoints" / paths.checkpoint(2)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(files.CorruptFile, match=r"epoch-002\.safetensors: expected sha256"):
        evaluation_of(root, TRAINING, manifest)
    assert not (folder / "evaluate.json").exists()


def test_confusion_counts_every_test_image_once(root):
    folder, manifest = train(root)
    evaluation_of(root, TRAINING, manifest)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    keyed = predictions.assign(model="m", optimizer="o", weight_decay="0.01", seed=0)
    best = pd.DataFrame([{"model": "m", "optimizer": "o", "weight_decay": "0.01"}])
    found = tables.confusion(keyed, best)
    labels = np.load(root / "resources/datasets/d/test/labels.npy")
    sizes = found.groupby("label")["n"].sum()
    np.testing.assert_array_equal(sizes, np.bincount(labels))


def test_a_run_on_earlier_data_is_not_evaluated(root):
    """Sealed again, as after another preparation of the same name."""
    folder, manifest = train(root)
    path = root / "resources/datasets/d/manifest.json"
    content = files.read_json(path)
    del content["seal"]
    content["recipe"] = {"newer": True}
    files.write_json(path, {**content, "seal": files.digest(content)})
    with pytest.raises(StaleFile, match=r"train\.json: made from another resources/datasets/d"):
        evaluation_of(root, TRAINING, manifest)
    # The cheap way back is kept: nothing was begun.
    assert (folder / ".resume/state.json").exists()
