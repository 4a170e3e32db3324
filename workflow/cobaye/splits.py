"""A split as training and evaluation read it: inputs and labels, checked against the manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from cobaye import datasets, files, paths
from cobaye.recipes import Data
from cobaye.rows import MappedRows


@dataclass(frozen=True)
class Split:
    """inputs: (N, *shape), uint8 images or float features. labels: (N,) int64.

    classes: K, of the whole dataset. manifest: the path and sha256 of what it was checked against.
    """

    inputs: torch.Tensor | MappedRows
    labels: torch.Tensor
    classes: int
    manifest: dict[str, str]


def load(data: Data, split: str, root: Path = Path(), memory: float = 0.5) -> Split:
    """Return a split once its files are known to be what their manifest says.

    It is read into memory, but for features that would take more than the share `memory` of this
    machine's: those are read by memory map. Results are the same.

    Raises CorruptFile, naming the file, what was expected, what was found and the repair.
    """
    path = root / paths.split_manifest(data, split)
    folder = path.parent
    if data.backbone is None:
        manifest = datasets.manifest(data.dataset, root)
        name = f"{split}/{manifest.info['form']}.npy"
        inputs = _rows([manifest.check(folder, name)], memory)
        labels = datasets.load_array(manifest.check(folder, f"{split}/labels.npy"))
    else:
        identity = {"dataset": data.dataset, "backbone": data.backbone, "split": split}
        manifest = files.read_manifest(path, "gather_features", identity)
        shards = [manifest.check(folder, name) for name in manifest.info["shards"]]
        inputs = _rows(shards, memory)
        labels = datasets.load_array(manifest.check(folder, "labels.npy"))
    return Split(
        inputs=inputs,
        labels=torch.from_numpy(labels),
        classes=manifest.info["classes"],
        manifest={paths.split_manifest(data, split): files.sha256(path)},
    )


def _rows(shards: list[Path], memory: float) -> torch.Tensor | MappedRows:
    """Read shards one after another into one tensor: they are held once, or not at all."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    maps = [datasets.load_array(shard, mmap_mode="r") for shard in shards]
    if maps[0].ndim == 2 and sum(part.nbytes for part in maps) > memory * installed:
        return MappedRows(shards)
    rows = sum(len(part) for part in maps)
    whole = np.empty((rows, *maps[0].shape[1:]), dtype=maps[0].dtype)
    start = 0
    for part in maps:
        whole[start : start + len(part)] = part
        start += len(part)
    return torch.from_numpy(whole)


@dataclass(frozen=True)
class Normalization:
    """x ↦ M ((x / 255 − mean) / std) for images of 0 … 255.

    mean, std: float32, (1, 1, 1), (C, 1, 1) or (C, H, W). matrix: M, float32, (D, D) over all
    D = C·H·W numbers of an image, or None for none.
    """

    mean: torch.Tensor
    std: torch.Tensor
    matrix: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 images (N, C, H, W), normalised. float32 images are written to."""
        scaled = images.float().div_(255).sub_(self.mean).div_(self.std)
        if self.matrix is None:
            return scaled
        return (scaled.flatten(1) @ self.matrix.T).view(scaled.shape)

    def to(self, device: torch.device | str) -> Normalization:
        """Return the same constants on a device."""
        matrix = None if self.matrix is None else self.matrix.to(device)
        return Normalization(self.mean.to(device), self.std.to(device), matrix)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the constants as they stand in a checkpoint."""
        constants = {"normalization.mean": self.mean, "normalization.std": self.std}
        if self.matrix is not None:
            constants["normalization.matrix"] = self.matrix
        return constants


def normalization_of(
    images: torch.Tensor, how: Literal["none", "global", "channel"]
) -> Normalization:
    """Return the normalisation by the mean and standard deviation of training images.

    images: (N, C, H, W) uint8. `none` only divides by 255. Exact: from counts of the 256 values.
    """
    channels = images.shape[1]
    if how == "none":
        return Normalization(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    counts = np.stack([np.bincount(images[:, c].flatten(), minlength=256) for c in range(channels)])
    if how == "global":
        counts = counts.sum(axis=0, keepdims=True)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    variance = counts @ values**2 / counts.sum(axis=1) - mean**2
    # A constant channel is centred and left at that.
    std = np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 0)), 1.0)
    shape = (-1, 1, 1)
    return Normalization(
        torch.tensor(mean, dtype=torch.float32).reshape(shape),
        torch.tensor(std, dtype=torch.float32).reshape(shape),
    )


def without_normalization(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], Normalization | None]:
    """Return a checkpoint's network tensors, and the normalisation that it carries, if any."""
    own = {name: t for name, t in tensors.items() if not name.startswith("normalization.")}
    if len(own) == len(tensors):
        return own, None
    return own, Normalization(
        tensors["normalization.mean"],
        tensors["normalization.std"],
        tensors.get("normalization.matrix"),
    )
