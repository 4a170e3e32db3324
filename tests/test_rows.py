"""Features too large for memory give the same results as those that fit."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.evaluation import evaluate
from cobaye.models import networks
from cobaye.storage import files, manifests, paths
from cobaye.storage.arrays import save_array
from cobaye.storage.mapped_rows import MappedRows, take
from cobaye.training import engines, loop
from tests.jobs import job
from tests.test_training import IDENTITY, OPTIMIZER, TRAINING

DATA = recipes.Data("d", "b")
CLASSES, WIDTH = 6, 20
RECIPE = dataclasses.replace(
    TRAINING, data=DATA, optimizer=dataclasses.replace(OPTIMIZER, normalize="none", epochs=6)
)
COUNTS = {"train": (301, 200, 0, 99), "val": (100,), "test": (300,)}


def write_features(root, storage="float32", scale=1.0):
    """Write features as gather_features leaves them; classes overlap."""
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 0.7, (CLASSES, WIDTH))
    for split, counts in COUNTS.items():
        labels = generator.integers(0, CLASSES, sum(counts))
        rows = (scale * (centres[labels] + generator.normal(0, 1, (len(labels), WIDTH)))).astype(
            storage
        )
        folder = root / paths.FEATURES.format(dataset="d", backbone="b", split=split)
        arrays = {
            f"shard-{i:02d}.npy": part
            for i, part in enumerate(np.split(rows, np.cumsum(counts)[:-1]))
        }
        made = {
            name: manifests.describe(folder / name, save_array(folder / name, array))
            for name, array in {**arrays, "labels.npy": labels}.items()
        }
        info = {"shards": list(arrays), "rows": len(labels), "classes": CLASSES}
        identity = {"dataset": "d", "backbone": "b", "split": split}
        manifests.Manifest("gather_features", identity, {}, "", {}, made, info).write(
            folder / "manifest.json"
        )
    return root


@pytest.fixture
def root(tmp_path):
    return write_features(tmp_path)


def run(root, recipe=RECIPE, memory=0.5, **identity):
    """Train and evaluate; return the run's folder."""
    told = {**IDENTITY, **identity}
    path = loop.train(job("train", told, recipe, root, memory=memory))
    manifest = files.read_json(path)
    expected = manifests.stage_fingerprint(manifest["recipe"], manifest["code"])
    asked = recipes.Evaluation(DATA, "every")
    evaluate.evaluate(job("evaluate", told, asked, root, expected=expected, memory=memory))
    return path.parent


def test_shards_read_as_one(root):
    resident = splits.load(DATA, "train", root).inputs
    mapped = splits.load(DATA, "train", root, memory=1e-12).inputs
    assert isinstance(mapped, MappedRows)
    assert mapped.shape == resident.shape
    assert torch.equal(torch.cat(list(mapped.split(64))), resident)
    rows = torch.tensor([599, 0, 300, 301, 500, 501, 0])
    found = [torch.empty(7, WIDTH) for _ in range(2)]
    take(resident, rows, found[0])
    take(mapped, rows, found[1])
    assert torch.equal(*found)


def test_features_are_mapped_where_they_exceed_their_share_of_memory(root):
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    share = splits.load(DATA, "train", root).inputs.nbytes / installed
    for factor, kind in ((0.9, MappedRows), (1.1, torch.Tensor)):
        assert isinstance(splits.load(DATA, "train", root, factor * share).inputs, kind)


@pytest.mark.parametrize("shuffle", ["full", "blocks"])
def test_resident_and_mapped_give_the_same_bytes(root, shuffle):
    recipe = dataclasses.replace(
        RECIPE, optimizer=dataclasses.replace(RECIPE.optimizer, shuffle=shuffle)
    )
    resident, mapped = (
        run(root, recipe, memory, model=name) for name, memory in (("a", 0.5), ("b", 1e-12))
    )
    for name in ("history.csv", "metrics.parquet", "predictions.parquet", "classes.parquet"):
        assert (resident / name).read_bytes() == (mapped / name).read_bytes()
    for epoch in range(7):
        name = f"checkpoints/{paths.checkpoint(epoch)}"
        assert (resident / name).read_bytes() == (mapped / name).read_bytes()


def test_features_are_held_once(root):
    split = splits.load(DATA, "train", root)
    network = networks.build(RECIPE.model, (WIDTH,), CLASSES)
    engine = engines.build(RECIPE, network, split, None, "cpu")
    assert engine.loss.inputs.data_ptr() == split.inputs.data_ptr()


@pytest.mark.parametrize("images", [1, 255, 256, 40_000])
def test_a_blocks_order_visits_each_image_once_in_runs(images):
    orders = [loop.batch_order(0, epoch, images, "blocks") for epoch in (1, 1, 2)]
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0].sort().values, torch.arange(images))
    if images == 40_000:
        assert not torch.equal(orders[0], orders[2])
        # A window reads at most WINDOW runs of BLOCK rows.
        first = orders[0][: loop.BLOCK * loop.WINDOW]
        assert len((first // loop.BLOCK).unique()) <= loop.WINDOW
        # Its runs are shuffled together: a few hundred rows come from most of them.
        assert len((first[:256] // loop.BLOCK).unique()) > 40


def test_blocks_learns_as_full_does(root, monkeypatch):
    """Over seeds, the difference in final test loss is within what seeds themselves make."""
    monkeypatch.setattr(loop, "BLOCK", 16)
    monkeypatch.setattr(loop, "WINDOW", 8)
    losses = {}
    for shuffle in ("full", "blocks"):
        optimizer = dataclasses.replace(RECIPE.optimizer, shuffle=shuffle)
        for seed in range(5):
            recipe = dataclasses.replace(RECIPE, optimizer=optimizer, seed=seed)
            folder = run(root, recipe, model=shuffle, seed=seed)
            metrics = pd.read_parquet(folder / "metrics.parquet")
            last = metrics[(metrics["epoch"] == 6) & (metrics["split"] == "test")]
            losses.setdefault(shuffle, []).append(last["loss"].item())
    difference = np.subtract(losses["blocks"], losses["full"])
    assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(5) + 1e-3


def test_float16_features_change_little(tmp_path):
    """Halved storage: the test loss moves by less than 1e-3 nats, accuracy by at most one image."""
    metrics = {}
    for storage in ("float32", "float16"):
        root = write_features(tmp_path / storage, storage)
        assert splits.load(DATA, "train", root).inputs.dtype == getattr(torch, storage)
        found = pd.read_parquet(run(root) / "metrics.parquet")
        metrics[storage] = found[(found["epoch"] == 6) & (found["split"] == "test")].iloc[0]
    single, half = metrics["float32"], metrics["float16"]
    assert 0 < abs(half["loss"] - single["loss"]) < 1e-3
    assert abs(half["accuracy"] - single["accuracy"]) <= 1 / 300 + 1e-9
