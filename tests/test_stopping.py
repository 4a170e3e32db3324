"""Trainings stop for the reason that they state, and runs of different lengths are compared."""

from __future__ import annotations

import dataclasses
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from cobaye import recipes
from cobaye.data import datasets
from cobaye.storage import files
from cobaye.training import history, loop, stopping
from tests import test_training as base
from tests.conftest import READ

root = base.root
EARLY = recipes.EarlyStop(patience=2, quantity="val_loss")


def stopped(losses, stop, epochs=50, **columns):
    """Return the reason after the last of some epochs; None while it goes on."""
    optimizer = dataclasses.replace(base.OPTIMIZER, stop=stop, epochs=epochs)
    rows = []
    for number, loss in enumerate(losses):
        row = {"loss": 1.0, "penalty": 0.0, "weight_l2": 1.0, "accuracy": 0.5, "val_loss": loss}
        rows.append({**row, **{key: values[number] for key, values in columns.items()}})
        if number < len(losses) - 1:
            assert stopping.reason(optimizer, rows) is None
    return stopping.reason(optimizer, rows)


def test_early_stopping_waits_for_its_patience():
    stop = recipes.Stop(early=EARLY)
    assert stopped([1.0, 0.9, 0.95], stop) is None
    reason = "early: val loss has not fallen for 2 epochs"
    assert stopped([1.0, 0.9, 0.95, 0.9], stop) == reason
    assert stopped([1.0, 0.9, 0.95, 0.8, 0.81, 0.8], stop) == reason
    # Not even NaN at first is better than nothing.
    assert stopped([math.nan, math.nan], stop) == reason


def test_an_improvement_counts_if_it_is_larger_than_min_delta():
    early = dataclasses.replace(EARLY, min_delta=0.25)
    stop = recipes.Stop(early=early)
    assert stopped([1.0, 0.75, 0.5], stop) is None
    assert stopped([1.0, 0.875, 0.75], stop) == "early: val loss has not fallen for 2 epochs"


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("val_accuracy", "val accuracy has not risen"),
        ("accuracy", "accuracy has not risen"),
        ("loss", "loss has not fallen"),
    ],
)
def test_any_quantity_can_be_watched(quantity, words):
    stop = recipes.Stop(early=recipes.EarlyStop(patience=1, quantity=quantity))
    worse = [0.5, 0.4] if quantity.endswith("accuracy") else [0.4, 0.5]
    assert stopped([1.0, 1.0], stop, **{quantity: worse}) == f"early: {words} for 1 epoch"
    assert stopped([1.0, 1.0], stop, **{quantity: worse[::-1]}) is None


def test_training_accuracy_ends_a_training_when_it_is_reached():
    stop = recipes.Stop(train_accuracy=0.99)
    assert stopped([1, 1], stop, accuracy=[0.9, 0.98]) is None
    assert stopped([1, 1], stop, accuracy=[0.9, 0.99]) == "training accuracy 0.99 reached"


def test_the_reason_that_says_most_is_given():
    stop = recipes.Stop(early=recipes.EarlyStop(patience=1), train_accuracy=0.9)
    both = {"accuracy": [0.5, 0.95], "val_loss": [1.0, 1.0]}
    assert stopped([1, 1], stop, epochs=2, **both) == "training accuracy 0.9 reached"
    assert stopped([1, 1], stop, epochs=2, accuracy=[0.5, 0.5]).startswith("early: ")
    assert stopped([2, 1], stop, epochs=2, accuracy=[0.5, 0.5]) == "all epochs"
    for column in ("loss", "penalty", "weight_l2"):
        infinite = stopped([1, 1], stop, epochs=2, **both, **{column: [1.0, math.inf]})
        assert infinite == "diverged in epoch 2"
    assert not stopping.is_finite("diverged in epoch 2")
    assert stopping.is_finite("training accuracy 0.9 reached")


def test_rows_are_read_as_they_were_written():
    row = {"epoch": 3, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "weight_l2": math.inf}
    [found] = history.parsed([history.line(row)])
    assert {key: found[key] for key in row} == row
    assert all(math.isnan(found[key]) for key in history.COLUMNS if key not in row)


def watching(**changes):
    """Return a recipe that reads val for its schedule, and stops early at some epoch of 30."""
    schedule = recipes.Kind(
        "plateau",
        {"quantity": "val_loss", "factor": 0.5, "patience": 1, "threshold": 0.0, "minimum": 0.0},
    )
    optimizer = dataclasses.replace(
        base.OPTIMIZER,
        schedule=schedule,
        learning_rate=1.0,
        epochs=30,
        stop=recipes.Stop(early=recipes.EarlyStop(patience=3, quantity="val_accuracy")),
    )
    return dataclasses.replace(base.TRAINING, optimizer=optimizer, **changes)


@pytest.mark.parametrize("engine", ["linear", "network"])
def test_val_is_watched_as_evaluate_measures_it(root, engine):
    model = recipes.Kind("linear", {})
    if engine == "network":
        # Batch norm: it matters that val is measured in eval mode.
        model = recipes.Kind("resnet-small", {"stem": 4, "widths": [4], "features": 4})
    recipe = watching(engine=engine, model=model)
    folder, manifest = base.train(root, recipe)
    base.evaluation_of(root, recipe, manifest)
    rows = base.history(folder)
    metrics = pd.read_parquet(folder / "metrics.parquet")
    val = metrics[metrics["split"] == "val"].set_index("epoch")
    assert rows[["val_loss", "val_accuracy"]].iloc[0].isna().all()
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(rows[f"val_{name}"][1:], val[name][1:], rtol=READ)
    info = manifest["info"]
    assert info["stopped"] == "early: val accuracy has not risen for 3 epochs"
    assert info["finite"]
    assert info["epochs"] == len(rows) - 1 < 30
    best = rows["val_accuracy"].idxmax()
    assert best == info["epochs"] - 3
    rates = rows["learning_rate"][1:].tolist()
    assert rates[0] == 1.0
    assert rates[-1] < 1.0


def test_a_watching_run_that_is_interrupted_ends_the_same(root):
    recipe = watching()
    folder, manifest = base.train(root, recipe)
    expected = base.products(folder)
    assert manifest["info"]["epochs"] > 3
    shutil.rmtree(folder)
    base.interrupt(root, recipe)
    base.train(root, recipe)
    assert files.read_json(folder / "run.json")["resumed_from"] == [2]
    assert base.products(folder) == expected


def test_training_stops_at_an_accuracy(root):
    stop = recipes.Stop(train_accuracy=0.6)
    optimizer = dataclasses.replace(base.OPTIMIZER, stop=stop, epochs=40)
    folder, manifest = base.train(root, dataclasses.replace(base.TRAINING, optimizer=optimizer))
    assert manifest["info"]["stopped"] == "training accuracy 0.6 reached"
    accuracy = base.history(folder)["accuracy"][1:]
    assert accuracy.iloc[-1] >= 0.6
    assert (accuracy.iloc[:-1] < 0.6).all()
    assert base.history(folder)["val_loss"].isna().all()


@pytest.mark.parametrize(
    ("schedule", "stop", "needed"),
    [
        (recipes.Kind("constant", {}), recipes.Stop(), False),
        (recipes.Kind("constant", {}), recipes.Stop(early=EARLY), True),
        (recipes.Kind("plateau", {"quantity": "val_accuracy"}), recipes.Stop(), True),
        (recipes.Kind("plateau", {"quantity": "loss"}), recipes.Stop(train_accuracy=0.9), False),
        (
            recipes.Kind("plateau", {"quantity": "accuracy"}),
            recipes.Stop(early=recipes.EarlyStop(patience=1, quantity="loss")),
            False,
        ),
    ],
)
def test_val_is_read_by_those_that_watch_it(schedule, stop, needed):
    optimizer = dataclasses.replace(base.OPTIMIZER, schedule=schedule, stop=stop)
    assert optimizer.reads_val is needed


def test_val_is_checked_before_it_is_watched(root):
    path = root / "resources/datasets/d/val/labels.npy"
    path.write_bytes(path.read_bytes()[:-8] + bytes([1] * 8))
    base.train(root)
    with pytest.raises(files.CorruptFile, match=r"val/labels\.npy: expected sha256"):
        base.train(root, watching(), model="watching")


def test_other_val_features_are_other_data(root, monkeypatch):
    """Features have a manifest per split: the run that watches val is covered by both."""
    join = loop.splits.join

    def with_own_manifest(data, wanted, *more):
        found = join(data, wanted, *more)
        return dataclasses.replace(found, manifest={f"{split}.json": "sha" for split in wanted})

    monkeypatch.setattr(loop.splits, "join", with_own_manifest)
    _, manifest = base.train(root, watching())
    assert manifest["inputs"] == {"train.json": "sha", "val.json": "sha"}
    _, manifest = base.train(root, model="other")
    assert manifest["inputs"] == {"train.json": "sha"}
    assert datasets.manifest("d", root)
