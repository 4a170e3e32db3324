"""A split's cached feature shards, checked against each other, and the manifest of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cobaye.data import datasets
from cobaye.errors import DataError, StaleFile
from cobaye.storage import files, manifests, paths
from cobaye.storage.arrays import ArrayFile, load_array, save_array


def gather(
    identity: dict[str, Any], recipe: dict[str, Any], code: str, root: Path = Path()
) -> Path:
    """Check a split's shards against each other, add its labels; return the split's manifest."""
    folder = root / paths.FEATURES.format(**identity)
    source = root / paths.DATASET.format(dataset=identity["dataset"])
    prepared = datasets.manifest(identity["dataset"], root)
    name = f"{identity['split']}/labels.npy"
    labels = load_array(prepared.check(source, name))
    shards = [
        _shard(identity, number, recipe["shards"], root) for number in range(recipe["shards"])
    ]
    _refuse_mixture(shards, folder, root)
    rows = sum(shard.info["rows"] for shard in shards)
    if rows != len(labels):
        raise DataError(f"{folder}: {rows} rows of features but {len(labels)} labels")
    skipped = {row: said for shard in shards for row, said in shard.info["skipped"].items()}
    # A skipped image has no row, so its label goes too.
    labels = np.delete(labels, [int(row) for row in skipped])
    names = [file for shard in shards for file in shard.files]
    entries = {
        file: {**entry, "manifest": shard.info["manifest"]}
        for shard in shards
        for file, entry in shard.files.items()
    }
    entries["labels.npy"] = manifests.describe(
        folder / "labels.npy", save_array(folder / "labels.npy", labels)
    )
    inputs = {
        str((folder / shard.info["manifest"]).relative_to(root)): files.sha256(
            folder / shard.info["manifest"]
        )
        for shard in shards
    }
    info = {
        "shards": names,
        "rows": len(labels),
        "skipped": skipped,
        "classes": prepared.info["classes"],
        "backbone": shards[0].info["backbone"],
        "versions": shards[0].info["versions"],
    }
    manifest = manifests.Manifest("gather_features", identity, recipe, code, inputs, entries, info)
    manifest.write(folder / "manifest.json")
    return folder / "manifest.json"


def _refuse_mixture(shards: list[manifests.Manifest], folder: Path, root: Path) -> None:
    """Raise StaleFile unless all shards are of one recipe and code, and of the present inputs."""
    for shard in shards:
        path = folder / shard.info["manifest"]
        for what in ("recipe", "code", "inputs"):
            if getattr(shard, what) != getattr(shards[0], what):
                raise StaleFile(f"{path}: {what} differs from shard 0's\n{manifests.repair(path)}")
        manifests.require_inputs(path, shard, root)


def _shard(identity: dict[str, Any], number: int, shards: int, root: Path) -> manifests.Manifest:
    labels = {"shard": paths.shard_label(number), "shards": paths.shard_label(shards)}
    base = paths.SHARD.format(**identity, **labels)
    expected = {**identity, "shard": number, "shards": shards}
    manifest = manifests.read_manifest(root / f"{base}.json", "cache_features", expected)
    expected_rows = manifest.info["rows"] - len(manifest.info["skipped"])
    for name in manifest.files:
        path = manifest.check((root / base).parent, name)
        if (rows := ArrayFile(path).shape[0]) != expected_rows:
            raise DataError(f"{path}: expected {expected_rows} rows, found {rows}")
    return manifest
