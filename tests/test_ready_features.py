"""Ready-made features are read right from every file format."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file as save_torch

from cobaye.config import yaml_files
from cobaye.data import datasets
from tests.archives import arrays, form, prepare
from tests.conftest import ROOT
from tests.own_features import COUNTS, SUFFIXES, features_of, labels_of, options_of, save


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path, suffix, dtype):
    given = {part: features_of(part, dtype) for part in COUNTS}
    manifest, folder = prepare(
        tmp_path, "features", **options_of(tmp_path / "own", suffix, **given)
    )
    assert manifest.info == {"form": "features", "classes": 5, "shape": [6], "images": COUNTS}
    for part in COUNTS:
        found, labels = arrays(folder, part, "features")
        assert found.dtype == (np.float16 if dtype == np.float16 else np.float32)
        assert np.array_equal(found, given[part].astype(found.dtype))
        assert np.array_equal(labels, labels_of(part))
    assert datasets.class_names(folder / "classes.json") == ["0", "1", "2", "3", "4"]
    assert form("features") == "features"


def test_formats_can_be_mixed_pooled_and_drawn_from(tmp_path):
    options = {"parts": {}, "labels": {}}
    for part, suffix in zip(COUNTS, SUFFIXES[1:], strict=True):
        save(tmp_path / f"{part}.{suffix}", features_of(part), labels_of(part))
        options["parts"][part] = str(tmp_path / f"{part}.{suffix}")
    pooled = {"of": list(COUNTS)}
    splits = {
        "train": pooled,
        "val": {**pooled, "fraction": 0.2, "stratified": True},
        "test": {**pooled, "fraction": 0.3, "seed": 3},
    }
    _, folder = prepare(tmp_path, "features", **options, splits=splits)
    truth = {
        row.tobytes(): label
        for part in COUNTS
        for row, label in zip(features_of(part), labels_of(part), strict=True)
    }
    seen = [
        (row.tobytes(), label)
        for split in splits
        for row, label in zip(*arrays(folder, split, "features"), strict=True)
    ]
    assert dict(seen) == truth
    assert len(seen) == len(truth) == 70


def test_a_column_per_feature_and_other_keys(tmp_path):
    table = {f"f{i}": features_of("train")[:, i] for i in range(6)} | {"y": labels_of("train")}
    pq.write_table(pa.table(table), tmp_path / "wide.parquet")
    parts = {"all": str(tmp_path / "wide.parquet")}
    rules = {"train": {"of": "all"}} | {s: {"of": "all", "last": 5} for s in ("val",)}
    splits = {**rules, "test": {"of": "all", "fraction": 0.25}}
    _, folder = prepare(tmp_path, "features", parts=parts, labels_key="y", splits=splits)
    found, labels = arrays(folder, "val", "features")
    assert np.array_equal(found, features_of("train")[-5:])
    assert np.array_equal(labels, labels_of("train")[-5:])


def test_bfloat16(tmp_path):
    truth = torch.randn(30, 4).bfloat16()
    labels = torch.arange(30) % 3
    save_torch({"clip": truth, "labels": labels}, tmp_path / "a.safetensors")
    parts = {part: str(tmp_path / "a.safetensors") for part in COUNTS}
    _, folder = prepare(tmp_path, "features", parts=parts, features_key="clip")
    assert np.array_equal(arrays(folder, "train", "features")[0], truth.float().numpy())


@pytest.mark.parametrize("name", ["names.txt", "names.json"])
def test_class_names(tmp_path, name):
    names = ["a b", "ç", "c", "d", "e"]
    text = json.dumps(names) if name.endswith("json") else "\n".join(names) + "\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    options = options_of(tmp_path / "own", "npz")
    _, folder = prepare(tmp_path, "features", **options, class_names=str(tmp_path / name))
    assert datasets.class_names(folder / "classes.json") == names


def test_the_example_of_the_repository(tmp_path):
    """As config/datasets.yaml describes it, once its script has run."""
    command = [sys.executable, str(ROOT / "config/own_features_example.py"), str(tmp_path / "own")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "6496 texts of 46 classes" in done.stdout
    entry = yaml_files.read_yaml(ROOT / "config/datasets.yaml")["own-features"]
    options = {key: value for key, value in entry.items() if key not in ("kind", "shards")}
    options["parts"] = {"all": str(tmp_path / "own/features.npz")}
    options["class_names"] = str(tmp_path / "own/classes.txt")
    manifest, folder = prepare(tmp_path, "features", **options)
    assert manifest.info["classes"] == 46
    assert sum(manifest.info["images"].values()) == 6496
    found, labels = arrays(folder, "train", "features")
    assert abs((found.astype(float) ** 2).mean(axis=1) - 1).max() < 1e-5
    assert np.bincount(labels).min() >= 30
