"""Mean loss of each class while an epoch is trained: right, no second pass, the same resumed."""

from __future__ import annotations

import dataclasses
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye.errors import CorruptFile
from cobaye.planning.plan import Plan
from cobaye.storage import files, manifests, paths
from cobaye.tables import tabulate
from tests import test_training as base
from tests.conftest import ROOT, edit, load
from tests.jobs import job
from tests.test_choose_epoch import RUN

root = base.root
RECORDED = dataclasses.replace(base.TRAINING, class_losses=True)
EPOCHS = base.OPTIMIZER.epochs


def recorded(folder):
    return np.load(folder / paths.CLASS_LOSSES)


def counts(root):
    labels = base.splits.load(base.DATA, "train", root).labels.numpy()
    return np.bincount(labels, minlength=base.CLASSES)


@pytest.mark.parametrize("engine", ["linear", "network", "numpy"])
def test_weighted_by_images_they_are_the_mean_loss_of_the_epoch(root, engine):
    folder, _ = base.train(root, dataclasses.replace(RECORDED, engine=engine))
    losses = recorded(folder)
    assert losses.shape == (EPOCHS, base.CLASSES)
    expected = base.history(folder)["loss"].to_numpy()[1:]
    np.testing.assert_allclose(losses @ counts(root) / counts(root).sum(), expected, rtol=1e-6)


def test_of_one_batch_they_are_those_of_the_weights_before_it(root):
    """A batch of all images visits each at the weights of the epoch before: known without us."""
    optimizer = dataclasses.replace(base.OPTIMIZER, batch_size=90)
    folder, _ = base.train(root, dataclasses.replace(RECORDED, optimizer=optimizer))
    split = base.splits.load(base.DATA, "train", root)
    for epoch in range(EPOCHS):
        tensors = {name: t.double() for name, t in base.weights(folder, epoch).items()}
        mean, deviation = (tensors[f"normalization.{part}"] for part in ("mean", "std"))
        inputs = ((split.inputs.double() / 255 - mean) / deviation).flatten(1)
        logits = inputs @ tensors["head.weight"].T + tensors["head.bias"]
        each = torch.nn.functional.cross_entropy(logits, split.labels, reduction="none")
        for c in range(base.CLASSES):
            own = each[split.labels == c].mean().item()
            assert recorded(folder)[epoch, c] == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_run_leaves_the_same_bytes(root, after):
    folder, _ = base.train(root, RECORDED)
    expected = base.products(folder)
    assert "train-class-losses.npy" in expected
    shutil.rmtree(folder)
    base.interrupt(root, RECORDED, after)
    base.train(root, RECORDED)
    assert files.read_json(folder / "run.json")["resumed_from"] == [after]
    assert base.products(folder) == expected


def test_recording_changes_nothing_else(root):
    folder, _ = base.train(root, RECORDED)
    recording = base.products(folder)
    shutil.rmtree(folder)
    folder, manifest = base.train(root)
    plain = base.products(folder)
    assert set(recording) - set(plain) == {"train-class-losses.npy"}
    assert {name for name in plain if plain[name] != recording[name]} == {"train.json"}
    assert "class_losses" not in manifest["recipe"]


def test_training_does_not_look_at_the_images_again(root, monkeypatch):
    """No forward pass beside the engine's: `scoring` is not asked for one."""
    monkeypatch.setattr(base.loop.scoring, "Forward", None)
    monkeypatch.setattr(base.loop.scoring, "means", None)
    folder, _ = base.train(root, RECORDED)
    assert len(recorded(folder)) == EPOCHS


def test_a_damaged_array_is_noticed(root):
    folder, _ = base.train(root, RECORDED)
    path = folder / paths.CLASS_LOSSES
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    trained = manifests.read_manifest(folder / "train.json", "train", base.IDENTITY)
    with pytest.raises(CorruptFile, match=r"train-class-losses\.npy: expected sha256"):
        trained.check(folder, paths.CLASS_LOSSES)


def test_a_class_without_images_has_no_loss():
    means = base.loop.scoring.per_class(np.array([0, 2, 2]), np.array([1.0, 2.0, 4.0]), 4)
    np.testing.assert_array_equal(means, [1.0, math.nan, 3.0, math.nan])


@pytest.mark.parametrize("given", [RECORDED, base.TRAINING])
def test_the_table_has_a_row_per_epoch_and_class(root, given):
    folder, manifest = base.train(root, given)
    base.evaluation_of(root, given, manifest)
    expected = {}
    for stage in ("train", "evaluate"):
        path = paths.manifest(stage, base.IDENTITY)
        made = manifests.read_manifest(root / path, stage, base.IDENTITY)
        expected[path] = manifests.stage_fingerprint(made.recipe, made.code)
    told = {"runs": [RUN], "dataset": "d", "baseline": False}
    identity = {"study": "s", "maker": "tables"}
    path = tabulate.tabulate(job("tabulate", identity, told, root, expected=expected))
    table = pd.read_parquet(path.with_name("classes-while-training.parquet"))
    if given is base.TRAINING:
        assert table.empty
        assert {"epoch", "class", "name", "loss"} < set(table)
        return
    assert table["epoch"].tolist() == np.repeat(range(1, EPOCHS + 1), base.CLASSES).tolist()
    assert table["name"].tolist() == [f"c{c}" for c in range(base.CLASSES)] * EPOCHS
    np.testing.assert_array_equal(table["loss"], recorded(folder).ravel())


def test_it_is_recorded_where_train_is_scored_once(folder):
    run = {"study": "tiny", "model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0}
    plan = Plan(load(folder), ROOT / "workflow/scripts")
    assert "class_losses" not in plan.stage("train", **run).recipe
    edit(folder, "studies/tiny.yaml", "dataset:", "train_epochs: last\ndataset:")
    plan = Plan(load(folder), ROOT / "workflow/scripts")
    assert plan.stage("train", **run).recipe["class_losses"] is True
