"""Datasets: images with integer labels and class names, prepared once as plain arrays.

A kind is a file here: ``Options``, ``problems(options)`` (what would stop it, as sentences) and
``prepare(options, progress)``.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cobaye import files, kinds, paths, recipes
from cobaye.errors import DataError
from cobaye.files import Manifest
from cobaye.paths import SPLITS


@dataclass(frozen=True)
class Prepared:
    """A dataset in memory.

    classes: one dict per class, in label order, with at least ``name``. splits: name → images
    (N, C, H, W) uint8 and labels (N,) int64.
    """

    classes: list[dict[str, Any]]
    splits: dict[str, tuple[np.ndarray, np.ndarray]]


def prepare(kind: recipes.Kind, identity: dict[str, Any], code: str, root: Path = Path()) -> Path:
    """Prepare a dataset under `root`; return its manifest.

    Raises DataError for options that cannot be met and for data that contradict themselves.
    """
    module = kinds.load("datasets", kind.kind)
    options = recipes.parse(kinds.options("datasets", kind.kind), kind.options)
    if problems := module.problems(options):
        raise DataError("\n".join(f"{identity['dataset']}: {problem}" for problem in problems))
    prepared = module.prepare(options)
    folder = root / paths.DATASET.format(**identity)
    made = write(prepared, folder)
    info = {
        "classes": len(prepared.classes),
        "shape": list(prepared.splits["train"][0].shape[1:]),
        "images": {split: len(prepared.splits[split][1]) for split in SPLITS},
    }
    path = folder / "manifest.json"
    Manifest("prepare_dataset", identity, recipes.plain(kind), code, {}, made, info).write(path)
    return path


def manifest(dataset: str, root: Path = Path()) -> Manifest:
    """Return a prepared dataset's manifest, checked."""
    path = root / paths.DATASET.format(dataset=dataset) / "manifest.json"
    return files.read_manifest(path, "prepare_dataset", {"dataset": dataset})


def check(prepared: Prepared) -> None:
    """Raise DataError unless every split is there, non-empty, and its labels name known classes."""
    for split in SPLITS:
        if split not in prepared.splits or len(prepared.splits[split][1]) == 0:
            raise DataError(f"split {split!r} is empty")
        images, labels = prepared.splits[split]
        if len(images) != len(labels):
            raise DataError(f"split {split!r}: {len(images)} images but {len(labels)} labels")
        if labels.min() < 0 or labels.max() >= len(prepared.classes):
            raise DataError(
                f"split {split!r}: labels from {labels.min()} to {labels.max()}, "
                f"expected 0 to {len(prepared.classes) - 1}"
            )


def write(prepared: Prepared, folder: Path) -> dict[str, dict[str, Any]]:
    """Write classes.json and each split's images.npy and labels.npy; return manifest entries."""
    check(prepared)
    entries = {}
    for split in SPLITS:
        for name, array in zip(("images", "labels"), prepared.splits[split], strict=True):
            path = folder / split / f"{name}.npy"
            entries[f"{split}/{name}.npy"] = files.describe(path, save_array(path, array))
    path = folder / "classes.json"
    entries["classes.json"] = files.describe(path, files.write_json(path, prepared.classes))
    return entries


def save_array(path: Path, array: np.ndarray) -> str:
    """Write an array as .npy, whole or not at all; return its sha256."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return files.write_bytes(path, buffer.getvalue())


class ArrayFile:
    """The rows of an .npy file, read piece by piece: unlike a memory map, no page of it stays."""

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise DataError(f"{path}: expected .npy version 1.0, found {version}")
            self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(file)
            self.start = file.tell()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start to stop, a new array."""
        width = math.prod(self.shape[1:])
        offset = self.start + start * width * self.dtype.itemsize
        flat = np.fromfile(self.path, self.dtype, (stop - start) * width, offset=offset)
        return flat.reshape(-1, *self.shape[1:])


def class_names(path: Path | str) -> list[str]:
    """Return the names in a dataset's classes.json, in label order."""
    return [entry["name"] for entry in json.loads(Path(path).read_text(encoding="utf-8"))]
