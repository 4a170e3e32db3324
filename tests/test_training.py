"""The loop trains, records, diverges and resumes alike, whatever computes an epoch."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import figures, kinds, recipes
from cobaye.data import datasets, splits
from cobaye.data.normalization import fit_normalization, without_normalization
from cobaye.errors import StaleFile
from cobaye.evaluation import evaluate
from cobaye.models import backbones, networks, scoring
from cobaye.objective import full_batch
from cobaye.storage import checkpoints, files, journal, manifests, paths, resume, table_names
from cobaye.tables import reading, tabulate, writing
from cobaye.training import engines, loop, optimizers
from cobaye.training.history import COLUMNS
from tests.examples import example
from tests.jobs import job

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
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    return tmp_path


def train(root, recipe=TRAINING, **identity):
    path = loop.train(job("train", {**IDENTITY, **identity}, recipe, root))
    return path.parent, files.read_json(path)


def history(folder):
    return pd.read_csv(folder / "history.csv")


def weights(folder, epoch):
    return checkpoints.load(folder / "checkpoints" / paths.checkpoint(epoch))


def test_a_run_leaves_a_checkpoint_and_a_row_per_epoch(root):
    folder, manifest = train(root)
    rows = history(folder)
    assert list(rows.columns) == list(COLUMNS)
    assert list(rows["epoch"]) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(rows["learning_rate"][1:], [0.05, 0.05, 0.025, 0.025])
    info = dict(manifest["info"])
    last = weights(folder, 4)
    square = sum((t.double() ** 2).sum().item() for name, t in last.items() if "head" in name)
    assert info.pop("penalty") == pytest.approx(0.01 / 2 * square, rel=1e-12)
    assert info == {"epochs": 4, "stopped": "all epochs", "finite": True}
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


@pytest.mark.parametrize("algorithm", ["sgd", "exact"])
def test_a_run_may_learn_from_val_too(root, algorithm):
    """Like an engine that is given the images of both splits; normalised by both."""
    optimizer = dataclasses.replace(OPTIMIZER, algorithm=example("optimizers", algorithm), epochs=1)
    engine = kinds.constant("optimizers", algorithm, "ENGINE", "linear")
    recipe = dataclasses.replace(
        TRAINING, optimizer=optimizer, engine=engine, train_on=("train", "val")
    )
    folder, manifest = train(root, recipe)
    parts = [splits.load(DATA, name, root) for name in ("train", "val")]
    both = splits.Split(
        torch.cat([part.inputs for part in parts]),
        torch.cat([part.labels for part in parts]),
        CLASSES,
        {},
    )
    torch.testing.assert_close(splits.join(DATA, ("train", "val"), root).inputs, both.inputs)
    normalization = fit_normalization(both, optimizer)
    assert (normalization.mean != fit_normalization(parts[0], optimizer).mean).all()
    network = networks.build(recipe.model, (1, SIZE, SIZE), CLASSES, 0)
    alone = engines.build(recipe, network, both, normalization, "cpu")
    alone.epoch(loop.batch_order(0, 1, 120), 0.05)
    expected = {**alone.tensors(), **normalization.tensors()}
    torch.testing.assert_close(weights(folder, 1), expected, rtol=0, atol=0)
    assert paths.split_manifest(DATA, "val") in manifest["inputs"]


def test_runs_of_one_seed_share_initial_weights_and_order(root):
    first, _ = train(root)
    other, _ = train(
        root, dataclasses.replace(TRAINING, weight_decay=0.0), weight_decay="0", model="other"
    )
    seeded, _ = train(root, dataclasses.replace(TRAINING, seed=1), seed=1)
    torch.testing.assert_close(weights(first, 0), weights(other, 0), rtol=0, atol=0)
    assert not torch.equal(weights(first, 0)["head.weight"], weights(seeded, 0)["head.weight"])
    orders = [loop.batch_order(0, epoch, 50) for epoch in (1, 1, 2)]
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
    assert metrics[metrics["epoch"] == last]["accuracy"].max() == 0.0
    assert files.read_json(folder / "evaluate.json")["info"] == {"temperature": None}


def evaluation_of(root, recipe, manifest, train_epochs="every"):
    told = recipes.Evaluation(DATA, train_epochs)
    expected = manifests.stage_fingerprint(manifest["recipe"], manifest["code"])
    return evaluate.evaluate(
        job("evaluate", manifest["identity"], told, root, expected=expected)
    ).parent


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
            assert_scores_of_probabilities(folder, last, logits, labels)


def assert_scores_of_probabilities(folder, last, logits, labels):
    """By hand, at the temperature that the manifest states."""
    stated = files.read_json(folder / "evaluate.json")["info"]["temperature"]
    assert np.isfinite(stated)
    for name, temperature in (("confidence", 1.0), ("scaled_confidence", stated)):
        shares = np.exp(logits / temperature)
        shares /= shares.sum(1, keepdims=True)
        np.testing.assert_allclose(last[name], shares.max(1), rtol=1e-4)
        if name == "confidence":
            brier = ((shares - np.eye(CLASSES)[labels]) ** 2).sum(1)
            np.testing.assert_allclose(last["brier"], brier, rtol=1e-4, atol=1e-6)
        else:
            own = -np.log(shares[np.arange(len(labels)), labels])
            np.testing.assert_allclose(last["scaled_loss"], own, rtol=1e-4, atol=1e-6)


def test_the_temperature_is_fitted_on_val_alone(root):
    """No other temperature near it gives val a lower loss; the stored scores are at it."""
    folder, manifest = train(root)
    evaluation_of(root, TRAINING, manifest)
    stated = files.read_json(folder / "evaluate.json")["info"]["temperature"]
    split = splits.load(DATA, "val", root)
    tensors = weights(folder, 4)
    inputs = (split.inputs / 255 - tensors["normalization.mean"]) / tensors["normalization.std"]
    logits = inputs.flatten(1) @ tensors["head.weight"].T + tensors["head.bias"]
    loss = {
        factor: torch.nn.functional.cross_entropy(logits.double() / stated / factor, split.labels)
        for factor in (0.99, 1, 1.01)
    }
    assert loss[1] == min(loss.values())
    predictions = pd.read_parquet(folder / "predictions.parquet").query("split == 'val'")
    assert predictions["scaled_loss"].mean() == pytest.approx(loss[1].item(), rel=1e-5)


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
    found = scoring.scores(iter([logits]), torch.tensor([0, 0, 0]))
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
    run = {"model": "m", "optimizer": "o", "weight_decay": "0.01", "seed": 0}
    runs = pd.DataFrame([run, {**run, "weight_decay": "1", "seed": 1}]).assign(finite=True)
    best = pd.DataFrame([run])[["model", "optimizer", "weight_decay"]]
    found = tabulate.confusion(keyed, runs, best)
    labels = np.load(root / "resources/datasets/d/test/labels.npy")
    sizes = found.groupby("label")["n"].sum()
    np.testing.assert_array_equal(sizes, np.bincount(labels))
    # At a λ that is asked for, counted once; runs that did not stay finite are left out.
    other = keyed.assign(weight_decay="1", seed=1, predicted=0)
    both = pd.concat([keyed, other, other.assign(seed=2, predicted=1)])
    runs = pd.concat([runs, pd.DataFrame([{**run, "weight_decay": "1", "seed": 2}])])
    runs["finite"] = runs["seed"] < 2
    asked = tabulate.confusion(both, runs, best, ["0.01", "1"])
    assert asked.groupby("weight_decay")["n"].sum().to_dict() == dict.fromkeys(
        ["0.01", "1"], len(labels)
    )
    assert (asked.loc[asked["weight_decay"] == "1", "predicted"] == 0).all()


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
    assert (folder / ".resume" / journal.NAME).exists()


def test_every_epoch_has_the_order_of_its_seed_and_number(root, monkeypatch):
    asked, order = [], loop.batch_order
    monkeypatch.setattr(loop, "batch_order", lambda *key: asked.append(key) or order(*key))
    train(root, dataclasses.replace(TRAINING, seed=5), seed=5)
    assert asked == [(5, epoch, 90, "full") for epoch in (1, 2, 3, 4)]


def products(folder):
    published = [*folder.glob("checkpoints/*"), folder / "history.csv", folder / "train.json"]
    return {path.name: path.read_bytes() for path in published}


def interrupt(root, recipe=TRAINING, after=2):
    """Train some epochs, as far as the resume folder."""

    def stop(seed, epoch, *more):
        if epoch == after + 1:
            raise KeyboardInterrupt
        return order(seed, epoch, *more)

    order = loop.batch_order
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "batch_order", stop)
        with pytest.raises(KeyboardInterrupt):
            train(root, recipe)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("engine", ["linear", "network"])
def test_an_interrupted_run_on_images_ends_the_same(root, engine, nesterov):
    algorithm = recipes.Kind("sgd", {"momentum": 0.9, "nesterov": nesterov})
    optimizer = dataclasses.replace(OPTIMIZER, algorithm=algorithm)
    recipe = dataclasses.replace(TRAINING, engine=engine, optimizer=optimizer)
    folder, _ = train(root, recipe)
    expected = products(folder)
    shutil.rmtree(folder)
    interrupt(root, recipe)
    assert not (folder / "train.json").exists()
    train(root, recipe)
    assert files.read_json(folder / "run.json")["resumed_from"] == [2]
    assert products(folder) == expected


def test_resume_state_of_other_code_is_not_used(root, capsys):
    interrupt(root)
    left = root / paths.RUN.format(**IDENTITY) / resume.FOLDER / "left"
    left.touch()
    path = loop.train(job("train", IDENTITY, TRAINING, root, code="other"))
    assert not left.exists()
    assert (
        "resume state not used: it is of another run: code: c0de → other" in capsys.readouterr()[1]
    )
    assert files.read_json(path.parent / "run.json")["resumed_from"] == []


def test_resume_state_of_other_data_is_not_used(root, capsys):
    interrupt(root)
    path = root / "resources/datasets/d/manifest.json"
    dataclasses.replace(datasets.manifest("d", root), code="other").write(path)
    folder, _ = train(root)
    assert "it is of another run: data." in capsys.readouterr()[1]
    assert files.read_json(folder / "run.json")["resumed_from"] == []


@pytest.mark.parametrize(("epoch", "resumed"), [(1, []), (2, [1])])
def test_a_forged_resume_state_is_not_used(root, capsys, epoch, resumed):
    """The optimizer's state stays of the last epoch and of the one before."""
    interrupt(root)
    path = root / paths.RUN.format(**IDENTITY) / resume.FOLDER / journal.NAME
    path.write_text(path.read_text().replace(f'"epoch": {epoch}', '"epoch": 7'))
    folder, _ = train(root)
    assert f"{path}: line {epoch + 2} is not as it was written" in capsys.readouterr()[1]
    assert files.read_json(folder / "run.json")["resumed_from"] == resumed


def test_a_run_is_trained_under_its_lock(root, monkeypatch):
    lock = resume.lock
    monkeypatch.setattr(resume, "lock", functools.partial(lock, wait=0.0))
    with lock(root / paths.RUN.format(**IDENTITY)), pytest.raises(resume.Locked):
        train(root)


def test_a_lock_on_a_removed_folder_is_no_lock(tmp_path, monkeypatch):
    """Between open and lock, evaluate may remove the folder and another process make it again."""
    flock = resume.fcntl.flock

    def remade_meanwhile(descriptor, how):
        monkeypatch.setattr(resume.fcntl, "flock", flock)
        (tmp_path / resume.LOCK).unlink()
        (tmp_path / resume.LOCK).touch()
        return flock(descriptor, how)

    monkeypatch.setattr(resume.fcntl, "flock", remade_meanwhile)
    assert resume._try_lock(tmp_path) is None


def test_resume_state_is_not_forgotten_under_another_process(root, monkeypatch):
    interrupt(root)
    folder, lock = root / paths.RUN.format(**IDENTITY), resume.lock
    monkeypatch.setattr(resume, "lock", functools.partial(lock, wait=0.0))
    with lock(folder), pytest.raises(resume.Locked):
        resume.forget(folder)
    assert (folder / resume.FOLDER / journal.NAME).exists()


def test_whatever_the_state_names_is_there_when_it_is_written_and_until_then(root, monkeypatch):
    """Killed right before or right after a commit, a run has an epoch to go on from."""
    append, records = journal.Journal.append, []

    def checked(self, record):
        records.append(record)
        for number, each in enumerate(records):
            entry = each["runs"]["0"]["checkpoint"]
            name = f"checkpoints/{paths.checkpoint(number)}"
            assert journal.is_whole(self.folder / name, entry)
        for each in records[-2:]:
            if "state" in each:
                name = f"state-{each['epoch']:03d}.safetensors"
                assert journal.is_whole(self.folder / name, each["state"])
        append(self, record)

    monkeypatch.setattr(journal.Journal, "append", checked)
    train(root)
    assert len(records) == 5
    assert all("state" in each for each in records[1:])


def test_manifests_are_written_last(root, monkeypatch):
    replace, written = os.replace, []
    monkeypatch.setattr(
        files.os, "replace", lambda old, new: written.append(new.name) or replace(old, new)
    )
    _, manifest = train(root)
    assert written[-4:] == ["checkpoints", "history.csv", "run.json", "train.json"]
    evaluation_of(root, TRAINING, manifest)
    assert written[-1] == "evaluate.json"


def test_checkpoints_are_on_the_disk_before_the_manifest_that_names_them(root, monkeypatch):
    """Written without fsync while the run trained."""
    fsync, replace, synced, wanted = os.fsync, os.replace, set(), set()

    def noted(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def checked(old, new):
        if new.name == "train.json":
            folder = new.parent / "checkpoints"
            wanted.update(path.stat().st_ino for path in (folder, *folder.iterdir()))
            assert wanted <= synced
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", checked)
    train(root)
    assert len(wanted) == 6


def test_infinite_weights_are_a_divergence_though_the_loss_is_finite(root, monkeypatch):
    monkeypatch.setattr(loop.engines, "norms", lambda _: (math.inf, math.inf))
    _, manifest = train(root)
    info = {key: manifest["info"][key] for key in ("epochs", "stopped", "finite")}
    assert info == {"epochs": 1, "stopped": "diverged in epoch 1", "finite": False}


@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_flipped_bit_in_a_split_stops_training(root, name):
    path = root / f"resources/datasets/d/train/{name}.npy"
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(files.CorruptFile, match=rf"train/{name}\.npy: expected sha256"):
        train(root)


def test_a_network_learns_by_batch_statistics_and_is_judged_by_running_ones(root):
    model = recipes.Kind("resnet-small", {"stem": 8, "widths": [8], "features": 8})
    recipe = dataclasses.replace(TRAINING, model=model, engine="network")
    folder, manifest = train(root, recipe)
    evaluation_of(root, recipe, manifest)
    own, start = weights(folder, 4), weights(folder, 0)
    moved = [not torch.equal(own[k], start[k]) for k in own if k.endswith("running_mean")]
    assert moved
    assert all(moved)
    state, constants = without_normalization(own)
    network = networks.build(model, (1, SIZE, SIZE), CLASSES)
    network.load_state_dict(state)
    split = splits.load(DATA, "val", root)
    with torch.no_grad():
        logits = network.eval()(constants(split.inputs))
    loss = torch.nn.functional.cross_entropy(logits, split.labels).item()
    metrics = pd.read_parquet(folder / "metrics.parquet").set_index(["epoch", "split"])
    assert metrics.loc[(4, "val"), "loss"] == pytest.approx(loss, rel=1e-5)


def test_the_algorithm_has_the_options_it_was_given():
    algorithm = recipes.Kind("sgd", {"momentum": 0.5, "nesterov": True})
    group = {"params": [torch.zeros(2, requires_grad=True)], "weight_decay": 0.1}
    (found,) = optimizers.build(algorithm, [group], 0.3).param_groups
    assert (found["momentum"], found["nesterov"], found["dampening"]) == (0.5, True, 0)
    assert (found["lr"], found["weight_decay"]) == (0.3, 0.1)


def test_blocks_of_any_size_give_the_same_scores(root, monkeypatch):
    folder, manifest = train(root)
    names = ("metrics.parquet", "classes.parquet", "predictions.parquet")
    evaluation_of(root, TRAINING, manifest)
    whole = [pd.read_parquet(folder / name) for name in names]
    monkeypatch.setattr(evaluate, "BLOCK", 7)
    evaluation_of(root, TRAINING, manifest)
    for name, expected in zip(names, whole, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), expected, rtol=1e-5)


def test_top5_is_the_share_of_images_with_fewer_than_five_classes_before_theirs():
    split = splits.Split(torch.zeros(7, 1), torch.arange(7), 7, {})
    found = evaluate.Tables(7)
    found.add(
        0,
        "test",
        split,
        lambda rows: -torch.arange(7.0).expand(len(rows), 7),
        "cpu",
        is_reported=False,
    )
    assert found.metrics[0]["accuracy"] == pytest.approx(1 / 7)
    assert found.metrics[0]["top5"] == pytest.approx(5 / 7)


def test_a_class_without_images_has_no_mean():
    found = scoring.per_class(np.array([0, 0, 2]), np.array([1.0, 3.0, 5.0]), 4)
    np.testing.assert_array_equal(found, [2, np.nan, 5, np.nan])


def test_evaluation_refuses_another_recipe_and_ends_the_resume_state(root):
    folder, manifest = train(root)
    told = recipes.Evaluation(DATA, "every")
    with pytest.raises(StaleFile, match=r"--forcerun .*train\.json"):
        evaluate.evaluate(job("evaluate", IDENTITY, told, root, expected="another"))
    evaluation_of(root, TRAINING, manifest)
    assert not (folder / resume.FOLDER).exists()


@pytest.fixture
def study(root):
    """Two evaluated runs, and what `tabulate` is told of them."""
    runs, expected = [], {}
    for label in ("0", "1e-2"):
        recipe = dataclasses.replace(TRAINING, weight_decay=float(label))
        folder, trained = train(root, recipe, weight_decay=label)
        evaluation_of(root, recipe, trained)
        evaluated = files.read_json(folder / "evaluate.json")
        runs.append({key: trained["identity"][key] for key in reading.KEYS})
        for made in (trained, evaluated):
            place = paths.manifest(made["stage"], made["identity"])
            expected[place] = manifests.stage_fingerprint(made["recipe"], made["code"])
    recipe = {"runs": runs, "baseline": False, "dataset": "d"}
    return {"recipe": recipe, "expected": expected}


def tabulated(root, study):
    """Return a function that reads a table back as figures do."""
    identity = {"study": "s", "maker": "tables"}
    path = tabulate.tabulate(job("tabulate", identity, **study, root=root))
    manifest = manifests.read_manifest(path, "tabulate", identity)
    return lambda name: reading.read(path.parent, name, manifest)


def test_tables_keep_labels_and_names_and_the_last_epoch(root, study):
    read = tabulated(root, study)
    for name in table_names.FILES:
        if name != "baseline":
            assert set(read(name)["weight_decay"]) <= {"0", "1e-2"}
    per_class, classes = read("best-lambda-per-class"), read("classes")
    assert list(per_class["name"]) == [f"c{c}" for c in per_class["class"]]
    assert (classes["name"] == "c" + classes["class"].astype(str)).all()
    last = read("metrics").query("epoch == 4 and split == 'test'").set_index("weight_decay")
    for label, part in classes[classes["split"] == "test"].groupby("weight_decay"):
        whole = (part["n"] * part["loss"]).sum() / part["n"].sum()
        assert whole == pytest.approx(last.loc[label, "loss"], rel=1e-6)
    confused, best = read("confusion"), read("best-lambda")["weight_decay"].item()
    assert set(confused["weight_decay"]) == {best}
    assert confused["n"].sum() == 40


def test_a_class_may_be_named_na(tmp_path):
    names = ["c", "NA", "1", "null"]
    path, table = tmp_path / "best-lambda-per-class.csv", pd.DataFrame({"name": names})
    entry = writing.write_csv(path, table.assign(weight_decay="1e-2"))
    made = manifests.Manifest(
        "tabulate", {"study": "s", "maker": "tables"}, {}, "", {}, {path.name: entry}
    )
    assert list(reading.read(tmp_path, "best-lambda-per-class", made)["name"]) == names


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_tables_refuse_a_run_of_another_recipe(root, study, name):
    place = paths.manifest(name, {"study": "s", **study["recipe"]["runs"][0]})
    study["expected"][place] = "another"
    with pytest.raises(StaleFile, match=rf"--forcerun .*{name}\.json"):
        tabulated(root, study)


def test_tables_refuse_an_evaluation_of_another_training(root, study):
    identity = {"study": "s", **study["recipe"]["runs"][0]}
    path = root / paths.manifest("train", identity)
    trained = manifests.read_manifest(path, "train", identity)
    dataclasses.replace(trained, inputs={}).write(path)
    with pytest.raises(StaleFile, match=r"evaluate\.json: made from another .*train\.json"):
        tabulated(root, study)


def test_a_flipped_bit_in_a_table_stops_the_figures(root, study):
    read = tabulated(root, study)
    path = root / "results/s/tables/metrics.csv"
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(files.CorruptFile, match=r"metrics\.csv: expected sha256"):
        read("metrics")


def test_a_backbone_is_the_last_checkpoint_of_its_run(root):
    folder, manifest = train(root)
    fingerprint = manifests.stage_fingerprint(manifest["recipe"], manifest["code"])
    recipe = {"run": IDENTITY, "model": recipes.plain(TRAINING.model)}
    with pytest.raises(StaleFile, match=r"--forcerun .*train\.json"):
        backbones.prepare_backbone(
            job("prepare_backbone", {"backbone": "b"}, recipe, root, expected="another")
        )
    backbones.prepare_backbone(
        job("prepare_backbone", {"backbone": "b"}, recipe, root, expected=fingerprint)
    )
    tensors = backbones.load("b", root).tensors
    torch.testing.assert_close(tensors, weights(folder, 4), rtol=0, atol=0)
    path = root / "resources/backbones/b.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(files.CorruptFile, match=r"b\.safetensors: expected sha256"):
        backbones.load("b", root)


def test_a_figure_is_drawn_with_its_options(root, study):
    read = tabulated(root, study)
    identity = {"study": "s", "figure": "test-curves"}
    names = list(kinds.constant("figures", "test-curves", "TABLES"))
    recipe = {"kind": "test-curves", "options": {"split": "val"}, "tables": names, "width": 5.5}
    made = figures.plot(job("plot", identity, recipe, root))
    options = kinds.options("figures", "test-curves")(split="val")
    frames = {name: read(name) for name in ("metrics", "runs", "best-lambda", "baseline")}
    for suffix, expected in figures.render("test-curves", frames, options).items():
        assert made.with_suffix(f".{suffix}").read_bytes() == expected


def test_half_precision_features_are_held_once_and_as_they_are_stored():
    split = splits.Split(torch.zeros(8, 5, dtype=torch.float16), torch.arange(8) % 4, 4, {})
    recipe = dataclasses.replace(TRAINING, data=recipes.Data("d", "b"))
    network = networks.build(recipe.model, (5,), 4)
    engine = engines.build(recipe, network, split, None, "cpu")
    assert engine.loss.inputs.dtype == torch.float16
    assert engine.loss.inputs.data_ptr() == split.inputs.data_ptr()


EXACT = dataclasses.replace(
    TRAINING,
    engine="exact",
    optimizer=recipes.Optimizer(
        algorithm=recipes.Kind(
            "exact",
            {
                "gradient_norm": 1e-6,
                "dtype": "float64",
                "warm_start": True,
                "max_iterations": 100,
            },
        ),
        learning_rate=None,
        schedule=recipes.Kind("constant", {}),
        batch_size=None,
        epochs=1,
        normalize="global",
    ),
)


def test_the_optimum_is_a_run_of_one_epoch_and_a_row_per_iteration(root):
    folder, manifest = train(root, EXACT)
    rows, info = history(folder), manifest["info"]
    assert (info["epochs"], info["stopped"], info["finite"]) == (1, "gradient norm reached", True)
    assert info["certificate"]["gradient_norm"] <= 1e-6
    assert files.read_json(folder / "run.json")["certificate"] == info["certificate"]
    assert rows["epoch"].is_monotonic_increasing
    assert rows["epoch"].is_unique
    assert len(rows) == 1 + len(info["certificate"]["gradient_norms"]) > 3
    last = rows.iloc[-1]
    assert last["objective"] == pytest.approx(info["certificate"]["objective"], rel=1e-12)
    own = [tensor.flatten() for name, tensor in weights(folder, 1).items() if "head" in name]
    assert last["weight_l2"] == pytest.approx(torch.cat(own).norm().item())
    evaluated = evaluation_of(root, EXACT, manifest)
    metrics = pd.read_parquet(evaluated / "metrics.parquet")
    trained = metrics.query("epoch == 1 and split == 'train'")
    assert trained["loss"].item() == pytest.approx(last["loss"], rel=1e-5)


def test_sgd_ends_above_the_optimum_of_its_objective(root):
    """Two trainings that share nothing but the objective."""
    _, manifest = train(root, EXACT)
    constant = recipes.Kind("constant", {})
    longer = dataclasses.replace(OPTIMIZER, epochs=150, learning_rate=0.05, schedule=constant)
    folder, _ = train(root, dataclasses.replace(TRAINING, optimizer=longer), optimizer="sgd")
    best = manifest["info"]["certificate"]["objective"]
    assert best < history(folder)["objective"].iloc[-1] < best * 1.3


def test_a_warm_start_begins_at_its_neighbour_and_says_so(root):
    larger = dataclasses.replace(EXACT, weight_decay=0.1)
    source, manifest = train(root, larger, weight_decay="0.1")
    recipe = dataclasses.replace(EXACT, warm_start="0.1")
    folder, own = train(root, recipe, optimizer="o")
    begun, ended = weights(folder, 0), weights(source, 1)
    # What the neighbour was told is another matter: its optimizer is of the same name.
    torch.testing.assert_close(begun, ended, rtol=0, atol=0)
    place = str((source / "train.json").relative_to(root))
    assert own["inputs"][place] == files.sha256(source / "train.json")
    cold, _ = train(root, EXACT, optimizer="cold")
    for name, tensor in weights(cold, 1).items():
        torch.testing.assert_close(weights(folder, 1)[name], tensor, rtol=0, atol=1e-3)
    assert len(history(folder)) <= len(history(cold))
    fingerprint = manifests.stage_fingerprint(manifest["recipe"], manifest["code"])
    loop.train(job("train", IDENTITY, recipe, root, expected={place: fingerprint}))
    with pytest.raises(StaleFile, match="another recipe or code"):
        loop.train(job("train", IDENTITY, recipe, root, expected={place: "another"}))


def test_a_solve_that_is_killed_begins_again_and_ends_the_same(root, monkeypatch):
    whole, _ = train(root, EXACT)
    expected = {name: (whole / name).read_bytes() for name in ("history.csv", "train.json")}
    shutil.rmtree(whole)
    evaluate, calls = full_batch.FullBatch.evaluate, []

    def killed(self, theta):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, theta)

    with monkeypatch.context() as patch:
        patch.setattr(full_batch.FullBatch, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            train(root, EXACT)
    again, _ = train(root, EXACT)
    assert files.read_json(again / "run.json")["resumed_from"] == [0]
    assert {name: (again / name).read_bytes() for name in expected} == expected


def test_a_decay_per_class_is_for_linear_networks(root):
    each = (0.01, 0.02, 0.01, 0.02)
    folder, manifest = train(root, dataclasses.replace(TRAINING, weight_decay=each))
    assert manifest["recipe"]["weight_decay"] == list(each)
    assert history(folder)["penalty"].iloc[-1] > 0
    with pytest.raises(ValueError, match="linear in their inputs"):
        train(root, dataclasses.replace(TRAINING, weight_decay=each, engine="network"), model="n")
