"""Splits as training and evaluation read them: inputs and labels, checked against a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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
    """Return a split: see `join`."""
    return join(data, [split], root, memory)


def join(data: Data, wanted: Sequence[str], root: Path = Path(), memory: float = 0.5) -> Split:
    """Return splits one after another as one, after checking their files against their manifests.

    Features that take more than the share `memory` of this machine's memory are read by memory
    map, all else into memory. Results are the same.

    Raises CorruptFile, naming the file, what was expected, what was found and the repair.
    """
    rows, labels, read = [], [], {}
    for split in wanted:
        place = paths.split_manifest(data, split)
        folder = (root / place).parent
        if data.backbone is None:
            manifest = datasets.manifest(data.dataset, root)
            names, labels_of = [f"{split}/{manifest.info['form']}.npy"], f"{split}/labels.npy"
        else:
            identity = {"dataset": data.dataset, "backbone": data.backbone, "split": split}
            manifest = manifests.read_manifest(root / place, "gather_features", identity)
            manifests.require_inputs(root / place, manifest, root)
            names, labels_of = manifest.info["shards"], "labels.npy"
        rows += [manifest.check(folder, name) for name in names]
        labels.append(load_array(manifest.check(folder, labels_of)))
        read[place] = files.sha256(root / place)
    return Split(
        inputs=_rows(rows, memory),
        labels=torch.from_numpy(np.concatenate(labels)),
        classes=manifest.info["classes"],
        manifest=read,
    )


def load_for(job: Job, data: Data, wanted: Iterable[str]) -> dict[str, Split]:
    """Return splits by name for a job, and count their manifests among its inputs."""
    found = {name: load(data, name, job.root, job.memory) for name in wanted}
    for split in found.values():
        job.inputs |= split.manifest
    return found


def join_for(job: Job, data: Data, wanted: Sequence[str]) -> Split:
    """Return splits as one for a job, and count their manifests among its inputs."""
    split = join(data, wanted, job.root, job.memory)
    job.inputs |= split.manifest
    return split


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
