"""With `choose_epoch: best-val`, one epoch, chosen on val alone, stands for a run everywhere."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from cobaye import recipes
from cobaye.analyses import _rival_heads
from cobaye.errors import ConfigError
from cobaye.estimators import results_folder
from cobaye.evaluation import evaluate
from cobaye.models import backbones
from cobaye.planning.plan import Plan
from cobaye.storage import checkpoints, finished_runs, manifests, paths
from cobaye.tables import grid_table, reading, reported_epoch, tabulate
from tests import test_pair_figures as pairs
from tests import test_training as base
from tests.conftest import ROOT, edit, load
from tests.drawing import drawn
from tests.jobs import job
from tests.test_grids import GRID, raw

root = base.root
# At this learning rate and batch size, the loss on val falls, then rises.
TRAINING = dataclasses.replace(
    base.TRAINING,
    weight_decay=0.0,
    optimizer=dataclasses.replace(
        base.OPTIMIZER,
        epochs=8,
        learning_rate=1.0,
        batch_size=10,
        schedule=recipes.Kind("constant", {}),
    ),
)
RUN = {key: base.IDENTITY[key] for key in reading.KEYS}


def evaluated(root, choose="best-val", train_epochs="every", recipe=TRAINING):
    """Train and evaluate; return the folder and the two manifests."""
    folder, _ = base.train(root, recipe)
    trained = manifests.read_manifest(folder / "train.json", "train", base.IDENTITY)
    asked = recipes.Evaluation(base.DATA, train_epochs, choose_epoch=choose)
    fingerprint = manifests.stage_fingerprint(trained.recipe, trained.code)
    path = evaluate.evaluate(job("evaluate", base.IDENTITY, asked, root, expected=fingerprint))
    return folder, trained, manifests.read_manifest(path, "evaluate", base.IDENTITY)


def frames(folder):
    return {
        name: pd.read_parquet(folder / f"{name}.parquet")
        for name in ("metrics", "classes", "predictions")
    }


def collected(root):
    fingerprints = {}
    for stage in ("train", "evaluate"):
        path = paths.manifest(stage, base.IDENTITY)
        made = manifests.read_manifest(root / path, stage, base.IDENTITY)
        fingerprints[path] = manifests.stage_fingerprint(made.recipe, made.code)
    identity = {"study": "s", "maker": "tables"}
    told = job("tabulate", identity, {"runs": [RUN]}, root, expected=fingerprints)
    return tabulate.collected(told)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({0: 3.0, 1: 2.0, 2: 1.0, 3: 1.5}, 2),
        ({3: 1.0, 2: 1.0, 1: 2.0}, 2),  # the earliest of equals, in whatever order
        ({0: 0.1, 1: 2.0, 2: 3.0}, 1),  # the initial weights are no result
        ({1: math.nan, 2: 5.0}, 2),
        ({1: math.inf, 2: math.inf}, 1),
        ({0: 1.0, 1: math.nan}, None),
        ({}, None),
    ],
)
def test_the_epoch_of_lowest_loss_the_earliest_of_equals(losses, expected):
    assert reported_epoch.best_on_val(losses) == expected


def test_the_reported_epoch_is_that_of_lowest_val_loss(root):
    folder, trained, made = evaluated(root)
    metrics = frames(folder)["metrics"]
    val = metrics[(metrics["split"] == "val") & (metrics["epoch"] > 0)].set_index("epoch")["loss"]
    epoch = made.info["epoch"]
    assert epoch == val.idxmin() < trained.info["epochs"], "the loss on val must rise again"
    assert manifests.reported_epoch(trained, made) == epoch
    assert manifests.reported_epoch(trained) == 8


def test_tables_are_of_the_reported_epoch(root):
    folder, _, made = evaluated(root)
    epoch, scored = made.info["epoch"], frames(folder)
    tables = collected(root)
    assert tables["runs"]["epoch"].item() == epoch
    assert tables["runs"]["epochs"].item() == 8
    final = tabulate.final_metrics(tables["metrics"], tables["runs"])
    assert set(final["epoch"]) == {epoch}
    for split in paths.SPLITS:
        rows = scored["predictions"]
        rows = rows[rows["split"] == split]
        one = final[final["split"] == split]
        assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(one["accuracy"].item())
        by_class = tables["classes"]
        by_class = by_class[by_class["split"] == split]
        mean = np.average(by_class["loss"], weights=by_class["n"])
        assert mean == pytest.approx(one["loss"].item(), rel=1e-6)
    best = tabulate.with_last_epoch(tabulate.best_lambda(final), tables["metrics"], tables["runs"])
    for column, at in (("", epoch), ("last_", 8)):
        for split in ("val", "test"):
            rows = scored["metrics"]
            rows = rows[(rows["split"] == split) & (rows["epoch"] == at)]
            for measure in ("loss", "accuracy"):
                assert best[f"{column}{split}_{measure}"].item() == rows[measure].item()
    assert best["val_loss"].item() < best["last_val_loss"].item()


def test_what_is_by_epoch_is_as_ever(root):
    """The scores of each epoch do not depend on which one is chosen."""
    folder, _, _ = evaluated(root)
    chosen = frames(folder)
    evaluated(root, "last")
    last = frames(folder)
    for name in ("metrics", "classes"):
        pd.testing.assert_frame_equal(chosen[name], last[name])
    assert not chosen["predictions"].equals(last["predictions"])


def test_the_choice_does_not_look_at_test(root):
    _, _, made = evaluated(root)
    folder = root / paths.DATASET.format(dataset="d")
    labels = folder / "test/labels.npy"
    np.save(labels, (np.load(labels) + 1) % base.CLASSES)
    base.datasets.manifest("d", root)
    manifest = base.datasets.manifest("d", root)
    entries = {**manifest.files, "test/labels.npy": manifests.describe(labels)}
    dataclasses.replace(manifest, files=entries).write(folder / "manifest.json")
    _, _, again = evaluated(root)
    assert again.files["metrics.parquet"] != made.files["metrics.parquet"]
    assert again.info["epoch"] == made.info["epoch"]


def test_train_is_scored_at_the_reported_epoch_where_it_is_scored_once(root):
    folder, _, made = evaluated(root, train_epochs="last")
    metrics = frames(folder)["metrics"]
    assert metrics.loc[metrics["split"] == "train", "epoch"].tolist() == [made.info["epoch"]]


def test_a_run_that_diverged_stands_at_its_last_epoch(root, monkeypatch):
    norms, calls = base.loop.engines.norms, []

    def grown(tensors):
        calls.append(1)
        return (float("inf"),) * 2 if len(calls) == 7 else norms(tensors)

    monkeypatch.setattr(base.loop.engines, "norms", grown)
    _, trained, made = evaluated(root)
    assert not trained.info["finite"]
    assert made.info["epoch"] == trained.info["epochs"] == 6


def test_last_leaves_files_and_recipe_as_they_were(root):
    """No word of the key stands in what a study without it makes."""
    _, _, made = evaluated(root, "last")
    assert "choose_epoch" not in made.recipe
    assert set(made.info) == {"temperature"}
    tables = collected(root)
    assert "epoch" not in tables["runs"]
    assert set(tabulate.final_metrics(tables["metrics"], tables["runs"])["epoch"]) == {8}


def test_heads_and_weights_are_of_the_reported_epoch(root):
    folder, trained, made = evaluated(root)
    name = paths.checkpoint(made.info["epoch"])
    expected = checkpoints.load(folder / "checkpoints" / name)
    run = finished_runs.Finished(folder, trained, made)
    head = _rival_heads.load_head(run)
    assert all((head[key] == tensor).all() for key, tensor in expected.items())
    found = results_folder.Results(root / "results/s").weights(weight_decay="0.01")
    assert all((found[key] == tensor.numpy()).all() for key, tensor in expected.items())


def test_a_backbone_is_of_the_reported_epoch(root):
    folder, trained, made = evaluated(root)
    recipe = {"model": recipes.plain(TRAINING.model), "run": base.IDENTITY}
    recipe["choose_epoch"] = "best-val"
    expected = {
        paths.manifest(each.stage, base.IDENTITY): manifests.stage_fingerprint(
            each.recipe, each.code
        )
        for each in (trained, made)
    }
    told = job("prepare_backbone", {"backbone": "b"}, recipe, root, expected=expected)
    path = backbones.prepare_backbone(told)
    name = f"checkpoints/{paths.checkpoint(made.info['epoch'])}"
    tensors = checkpoints.load(path.with_suffix(".safetensors"))
    stored = checkpoints.load(folder / name)
    assert set(tensors) == set(stored)
    assert all((tensors[key] == stored[key]).all() for key in stored)


def test_a_grid_reads_the_best_epoch_within_each_budget():
    tables = raw()
    tables["runs"] = tables["runs"].assign(epoch=2)
    found = grid_table.table(tables, GRID)
    assert found["epochs"].tolist() == [1, 2, 4]
    assert found["epoch"].tolist() == found["lowest_val_loss_epoch"].tolist() == [1, 2, 2]
    assert found["val_loss"].tolist() == [2.0, 1.0, 1.0]
    assert found["train_loss"].tolist() == [1.5, 0.5, 0.5]


def test_a_grid_says_what_early_stopping_gains():
    found = grid_table.table(raw(), GRID)
    assert found["lowest_val_loss"].tolist() == [2.0, 1.0, 1.0]
    assert found["val_loss"].tolist() == [2.0, 1.0, 1.8]
    assert found["accuracy_at_lowest_val_loss"].tolist() == [1 / 8, 2 / 8, 2 / 8]


def test_the_curves_mark_the_reported_epoch_and_name_both_accuracies():
    given = pairs.tables(pairs.PAIRS[:2])
    given["runs"] = given["runs"].assign(epoch=[2, 3])
    figure = drawn("optimizer-curves", given)
    on_test = figure.axes[2]
    marks = [line.get_xydata()[0] for line in on_test.lines if line.get_marker() == "D"]
    metrics = given["metrics"]
    for (epoch, value), (model, optimizer), at in zip(marks, pairs.PAIRS, (2, 3), strict=False):
        rows = metrics[(metrics["model"] == model) & (metrics["optimizer"] == optimizer)]
        rows = rows[(rows["split"] == "test") & (rows["epoch"] == at)]
        assert (epoch, value) == (at, pytest.approx(100 * rows["accuracy"].item()))
    legend = figure.legends[0]
    said = [text.get_text() for text in legend.get_texts()]
    assert [text.split(": ")[1] for text in said[:2]] == [
        f"{marks[0][1]:.1f} % (50.0 %)",
        f"{marks[1][1]:.1f} % (55.0 %)",
    ]
    assert "lowest loss on val (at the end)" in legend.get_title().get_text()


def test_a_study_asks_for_it(folder):
    run = {"study": "tiny", "model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0}
    plan = Plan(load(folder), ROOT / "workflow/scripts")
    before = plan.stage("train", **run), plan.stage("evaluate", **run)
    assert "choose_epoch" not in before[1].recipe
    for study in ("tiny", "tiny-backbone"):
        edit(folder, f"studies/{study}.yaml", "dataset:", "choose_epoch: best-val\ndataset:")
    plan = Plan(load(folder), ROOT / "workflow/scripts")
    assert plan.stage("train", **run).fingerprint == before[0].fingerprint
    assert plan.stage("evaluate", **run).recipe["choose_epoch"] == "best-val"
    backbone = plan.stage("prepare_backbone", backbone="tiny-backbone")
    assert backbone.recipe["choose_epoch"] == "best-val"
    assert any(
        "evaluate.json" in path
        for path in plan.expected("prepare_backbone", backbone="tiny-backbone")
    )


@pytest.mark.parametrize(
    ("more", "old", "new", "said"),
    [
        ("keep: last", "", "", "keep: last: any epoch may be the best"),
        ("keep: every 2", "", "", "keep: every 2: any epoch may be the best"),
        ("analyses: [weights]", "", "", "analyses.weights: it looks inside"),
        ("", "{kind: sgd, momentum: 0.9}", "{kind: exact}", "optimizers.sgd.algorithm.kind: exact"),
    ],
)
def test_what_rules_the_choice_out_is_refused(folder, more, old, new, said):
    file = "studies/tiny.yaml"
    edit(folder, file, "dataset:", f"choose_epoch: best-val\n{more}\ndataset:")
    if new:
        text = (folder / file).read_text()
        cut = [
            line
            for line in text.splitlines()
            if not any(key in line for key in ("learning_rate", "schedule", "batch_size", "epochs"))
        ]
        (folder / file).write_text("\n".join(cut).replace(old, new))
    with pytest.raises(ConfigError) as found:
        load(folder)
    assert str(found.value).startswith(f"{folder}/{file}: choose_epoch: best-val: ")
    assert said in str(found.value)
    assert "choose_epoch: last" in str(found.value)


def test_a_word_that_is_no_choice_is_refused(folder):
    edit(folder, "studies/tiny.yaml", "dataset:", "choose_epoch: best\ndataset:")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: choose_epoch: .*'last' or 'best-val'"):
        load(folder)
