"""A dataset as its kind prepares it, and the checks before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cobaye.errors import DataError
from cobaye.storage.arrays import SelectedRows, blocks
from cobaye.storage.paths import SPLITS
from cobaye.storage.sources import Seen

SHOWN = 5  # rows or classes named in a message


@dataclass(frozen=True)
class ImageFiles:
    """Image files that are decoded later. paths: relative to `root`, with "/" between folders."""

    root: str
    paths: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, row: int) -> Path:
        """Return the file of an image."""
        return Path(self.root, self.paths[row])


Inputs = np.ndarray | SelectedRows | ImageFiles


@dataclass(frozen=True)
class Prepared:
    """A dataset, its large arrays perhaps still on disk.

    classes: one dict per class, in label order, with at least ``name``. splits: name → inputs and
    labels (N,), integers; inputs are images (N, C, H, W) uint8, features (N, D) float32 or float16,
    or `ImageFiles`. info: further facts for the manifest. read: the folder of image files, and
    what was seen of each that was read, by its name in there; None where none was.
    """

    classes: list[dict[str, Any]]
    splits: dict[str, tuple[Inputs, np.ndarray]]
    info: dict[str, Any] = field(default_factory=dict)
    read: tuple[str, dict[str, Seen]] | None = None


def form_of(inputs: Inputs) -> str:
    """Return ``images``, ``features`` or ``files``; DataError for anything else."""
    if isinstance(inputs, ImageFiles):
        return "files"
    if inputs.dtype == np.uint8 and len(inputs.shape) == 4:
        return "images"
    if inputs.dtype in (np.float16, np.float32) and len(inputs.shape) == 2:
        return "features"
    raise DataError(
        f"expected images, uint8 (N, C, H, W), or features, float16 or float32 (N, D), "
        f"found {inputs.dtype} {tuple(inputs.shape)}"
    )


def shape_of(inputs: Inputs) -> list[int] | None:
    """Return the shape of one image or feature vector; None for files, which differ."""
    return None if isinstance(inputs, ImageFiles) else list(inputs.shape[1:])


def check(prepared: Prepared) -> None:
    """Raise DataError unless a dataset can be used.

    Every split must be there, not empty, with one label per row that names a known class; features
    finite; all splits of one form and shape; and every class must have an image in train.
    """
    for label, entry in enumerate(prepared.classes):
        try:
            entry["name"].encode()
        except UnicodeEncodeError:
            raise DataError(f"class {entry['name']!r} (label {label}): not UTF-8") from None
    for split in SPLITS:
        if split not in prepared.splits or len(prepared.splits[split][1]) == 0:
            raise DataError(f"split {split!r} is empty")
        inputs, labels = prepared.splits[split]
        if len(inputs) != len(labels):
            raise DataError(
                f"split {split!r}: {len(inputs)} {form_of(inputs)} but {len(labels)} labels"
            )
        check_labels(labels, len(prepared.classes), f"split {split!r}")
    _check_same_shape(prepared)
    _check_classes(prepared)
    for split in SPLITS:
        if form_of(prepared.splits[split][0]) == "features":
            _check_finite(prepared.splits[split][0], split)


def check_labels(labels: np.ndarray, classes: int | None, where: str) -> None:
    """Raise DataError unless labels are integers from 0 to `classes` − 1 (None: of any number)."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"{where}: expected labels as integers, one per row, "
            f"found {labels.dtype} {tuple(labels.shape)}"
        )
    if len(labels) and (labels.min() < 0 or (classes is not None and labels.max() >= classes)):
        most = "" if classes is None else f" to {classes - 1}"
        raise DataError(
            f"{where}: labels from {labels.min()} to {labels.max()}, expected 0{most or ' or more'}"
            + ": the first class has the label 0" * bool(labels.min() == 1)
        )


def _check_same_shape(prepared: Prepared) -> None:
    forms = {
        split: (form_of(inputs), shape_of(inputs)) for split, (inputs, _) in prepared.splits.items()
    }
    for split in SPLITS:
        if forms[split] != forms["train"]:
            (form, shape), (expected, of_train) = forms[split], forms["train"]
            raise DataError(
                f"split {split!r}: {form} of shape {shape}, "
                f"but those of split 'train' are {expected} of shape {of_train}"
            )


def _check_classes(prepared: Prepared) -> None:
    counts = np.bincount(prepared.splits["train"][1], minlength=len(prepared.classes))
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        names = ", ".join(
            f"{prepared.classes[label]['name']!r} (label {label})" for label in missing[:SHOWN]
        )
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise DataError(
            f"split 'train' has nothing of {len(missing)} of the {len(counts)} classes: "
            f"{names}{more}" + ": the first class has the label 0" * (missing.tolist() == [0])
        )


def _check_finite(features: np.ndarray | SelectedRows, split: str) -> None:
    bad: list[int] = []
    count = 0
    for start, rows in blocks(features):
        bad_rows = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        count += len(bad_rows)
        bad += (start + bad_rows[: SHOWN - len(bad)]).tolist()
    if count:
        named = [
            features.origin(row) if isinstance(features, SelectedRows) else f"row {row}"
            for row in bad
        ]
        raise DataError(
            f"split {split!r}: {count} of {len(features)} rows of features hold NaN or infinite "
            f"numbers, first {', '.join(named)} (counted from 0)"
        )
