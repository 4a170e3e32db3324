"""A split's cached feature shards, checked against each other, and the manifest of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cobaye.data import datasets
from cobaye.errors import DataError, StaleFile
from cobaye.storage import manifests, paths
from cobaye.storage.arrays import ArrayFile, load_array, save_array
from cobaye.storage.jobs import Job


def gather_features(job: Job) -> Path:
    """Check a split's shards against each other, add its labels; return the split's manifest.

    job.recipe: {"shards": how many}.
    """
    identity, folder = job.identity, job.folder
    source = job.root / paths.DATASET.format(dataset=identity["dataset"])
    prepared = datasets.manifest(identity["dataset"], job.root)
    labels = load_array(prepared.check(source, f"{identity['split']}/labels.npy"))
    count = job.recipe["shards"]
    shards = [_shard(job, {"shard": number, "shards": count}) for number in range(count)]
    _refuse_mixture(shards, job.root)
    rows = sum(shard.info["rows"] for shard in shards)
    if rows != len(labels):
        raise DataError(f"{folder}: {rows} rows of features but {len(labels)} labels")
    skipped = {row: said for shard in shards for row, said in shard.info["skipped"].items()}
    # A skipped image has no row, so its label goes too.
    labels = np.delete(labels, [int(row) for row in skipped])
    entries = {
        file: {**entry, "manifest": Path(paths.manifest("cache_features", shard.identity)).name}
        for shard in shards
        for file, entry in shard.files.items()
    }
    info = {
        "shards": list(entries),
        "rows": len(labels),
        "skipped": skipped,
        "classes": prepared.info["classes"],
        "backbone": shards[0].info["backbone"],
        "versions": shards[0].info["versions"],
    }
    path = folder / "labels.npy"
    entries[path.name] = manifests.describe(path, save_array(path, labels))
    return job.publish(entries, info)


def _refuse_mixture(shards: list[manifests.Manifest], root: Path) -> None:
    """Raise StaleFile unless all shards are of one recipe and code, and of the same inputs."""
    for shard in shards:
        for what in ("recipe", "code", "inputs"):
            if getattr(shard, what) != getattr(shards[0], what):
                path = root / paths.manifest("cache_features", shard.identity)
                raise StaleFile(f"{path}: {what} differs from shard 0's\n{manifests.repair(path)}")


def _shard(job: Job, numbers: dict[str, int]) -> manifests.Manifest:
    """Return the manifest of a shard, once it is known to have the rows that it states."""
    manifest = job.read("cache_features", {**job.identity, **numbers})
    expected_rows = manifest.info["rows"] - len(manifest.info["skipped"])
    for name in manifest.files:
        path = manifest.check(job.folder, name)
        if (rows := ArrayFile(path).shape[0]) != expected_rows:
            raise DataError(f"{path}: expected {expected_rows} rows, found {rows}")
    return manifest
