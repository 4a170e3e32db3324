"""Splits as training and evaluation read them: inputs and labels, checked against a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cobaye.data import datasets
from cobaye.recipes import Data
from cobaye.storage import files, manifests, paths
from cobaye.storage.arrays import load_array
from cobaye.storage.jobs import Job
from cobaye.storage.mapped_rows import MappedRows


@dataclass(frozen=True)
class Split:
    """inputs: (N, *shape), uint8 images or float features. labels: (N,) int64.

    classes: K, of the whole dataset. manifest: path → sha256 of its manifest.
    """

    inputs: torch.Tensor | MappedRows
    labels: torch.Tensor
    classes: int
    manifest: dict[str, str]


def load(data: Data, split: str, root: Path = Path(), memory: float = 0.5) -> Split:
    """Return a split, after checking its files against their manifest.

    Features that take more than the share `memory` of this machine's memory are read by memory
    map, all else into memory. Results are the same.

    Raises CorruptFile, naming the file, what was expected, what was found and the repair.
    """
    path = root / paths.split_manifest(data, split)
    folder = path.parent
    if data.backbone is None:
        manifest = datasets.manifest(data.dataset, root)
        name = f"{split}/{manifest.info['form']}.npy"
        inputs = _rows([manifest.check(folder, name)], memory)
        labels = load_array(manifest.check(folder, f"{split}/labels.npy"))
    else:
        identity = {"dataset": data.dataset, "backbone": data.backbone, "split": split}
        manifest = manifests.read_manifest(path, "gather_features", identity)
        shards = [manifest.check(folder, name) for name in manifest.info["shards"]]
        inputs = _rows(shards, memory)
        labels = load_array(manifest.check(folder, "labels.npy"))
    return Split(
        inputs=inputs,
        labels=torch.from_numpy(labels),
        classes=manifest.info["classes"],
        manifest={paths.split_manifest(data, split): files.sha256(path)},
    )


def load_for(job: Job, data: Data, wanted: Iterable[str]) -> dict[str, Split]:
    """Return splits by name for a job, and count their manifests among its inputs."""
    found = {name: load(data, name, job.root, job.memory) for name in wanted}
    for split in found.values():
        job.inputs |= split.manifest
    return found


def _rows(shards: list[Path], memory: float) -> torch.Tensor | MappedRows:
    """Read shards one after another into one tensor: they are held once, or not at all."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    arrays = [load_array(shard, mmap_mode="r") for shard in shards]
    if arrays[0].ndim == 2 and sum(array.nbytes for array in arrays) > memory * installed:
        return MappedRows(shards)
    rows = sum(len(array) for array in arrays)
    whole = np.empty((rows, *arrays[0].shape[1:]), dtype=arrays[0].dtype)
    start = 0
    for array in arrays:
        whole[start : start + len(array)] = array
        start += len(array)
    return torch.from_numpy(whole)
