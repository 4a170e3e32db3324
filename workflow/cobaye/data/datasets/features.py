"""Ready-made features, of images, text or anything, from files of one's own.

Each part is a file: .npy (features alone: the labels lie in a file of their own), .npz,
.safetensors or .parquet. An .npz is read into memory whole, the others piece by piece.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cobaye.data.datasets import Prepared, SelectedRows
from cobaye.data.datasets._columns import name_problems, open_column, size_of
from cobaye.data.datasets._data import check_labels
from cobaye.data.datasets._partition import divide, most
from cobaye.data.datasets._partition import problems as split_problems
from cobaye.errors import DataError
from cobaye.storage.arrays import Source

FORM = "features"
EXAMPLE = {"parts": {"train": "train.npz", "val": "val.npz", "test": "test.npz"}}


@dataclass(frozen=True)
class Options:
    """Files of features and labels, and how images are split."""

    #: Part → file of features (N, D), float16, float32 or float64 (converted to float32): `.npy`,
    #: `.npz`, `.safetensors` or `.parquet` (one column of lists, or one column per feature). An
    #: `.npz` is read into memory whole.
    parts: dict[str, str]
    #: Part → file of labels: integers from 0, one per row. By default they are in the file of the
    #: features; features in an `.npy` need such a file.
    labels: dict[str, str] = field(default_factory=dict)
    #: Name of the features inside `.npz`, `.safetensors` and `.parquet`.
    features_key: str = "features"
    #: Name of the labels inside them.
    labels_key: str = "labels"
    #: Text file with one name per line in the order of the labels, or a `.json` list. `""`: classes
    #: are named by their numbers.
    class_names: str = ""
    #: Command that makes the files. It is shown if they are missing.
    made_by: str = ""
    #: Images of `train`, `val` and `test`, as pieces of the parts; by default each split is the
    #: part of the same name.
    splits: dict[str, dict[str, object]] = field(
        default_factory=lambda: {name: {"of": name} for name in ("train", "val", "test")}
    )

    def sizes(self) -> dict[str, object]:
        """Return the size of the data, by the heads of its files, where all are there."""
        sizes = {part: size_of(Path(file), self.features_key) for part, file in self.parts.items()}
        if not all(sizes.values()):
            return {}
        rows = {part: rows for part, (rows, _, _) in sizes.items()}
        _, widths, itemsizes = zip(*sizes.values(), strict=True)
        shape, itemsize = (max(widths),), max(itemsizes)
        return {"images": most(self.splits, rows), "shape": shape, "itemsize": itemsize}

    def __post_init__(self) -> None:
        """Refuse parts and splits that no data could meet."""
        found = name_problems(self.parts, self.labels) + split_problems(self.splits, self.parts)
        if found:
            raise ValueError("; ".join(found))


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each; no file is opened."""
    how = f"run {options.made_by}" if options.made_by else "put it there"
    return [
        f"{file} is missing: {how}, or name another under {key}"
        for key, file in _files(options).items()
        if not Path(file).is_file()
    ]


def sources(options: Options) -> list[str]:
    """Return every file that is read."""
    return sorted(set(_files(options).values()))


def _files(options: Options) -> dict[str, str]:
    named = {f"parts.{part}": file for part, file in options.parts.items()}
    named |= {f"labels.{part}": file for part, file in options.labels.items()}
    return named | ({"class_names": options.class_names} if options.class_names else {})


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return features (N, D), float32 or float16 as they come; float64 becomes float32.

    Raises DataError, naming the file, for what cannot be read, is not features or labels, or does
    not fit together.
    """
    # In the order of their names: that in which a config writes them changes nothing.
    features = {part: _features(options, part) for part in sorted(options.parts)}
    labels = {part: _labels(options, part, column.shape[0]) for part, column in features.items()}
    _check_widths(options, features)
    every = np.concatenate(list(labels.values()))
    names = _class_names(options, int(every.max()) + 1, len(every))
    for part, part_labels in labels.items():
        check_labels(part_labels, len(names), _labels_file(options, part))
    return Prepared(
        classes=[{"name": name} for name in names],
        splits={
            split: (SelectedRows(features, index), every[index])
            for split, index in divide(labels, options.splits).items()
        },
    )


def _features(options: Options, part: str) -> Source:
    path = options.parts[part]
    column = open_column(Path(path), options.features_key, options.labels_key)
    if column.dtype not in (np.float16, np.float32) or len(column.shape) != 2 or 0 in column.shape:
        raise DataError(
            f"{path}: expected features as float16, float32 or float64 (N, D), "
            f"found {column.dtype} {tuple(column.shape)}"
        )
    return column


def _labels_file(options: Options, part: str) -> str:
    return options.labels.get(part, options.parts[part])


def _labels(options: Options, part: str, rows: int) -> np.ndarray:
    """Return a part's labels, (N,) int64, one for each of its rows."""
    path = _labels_file(options, part)
    column = open_column(Path(path), options.labels_key, None)
    if len(column.shape) != 1 or column.dtype.kind not in "iu":
        dtype = "floats" if column.dtype.kind == "f" else column.dtype
        raise DataError(
            f"{path}: expected labels as integers (N,), found {dtype} {tuple(column.shape)}"
        )
    if column.shape[0] != rows:
        raise DataError(
            f"part {part!r}: {rows} rows of features in {options.parts[part]}, "
            f"but {column.shape[0]} labels in {path}"
        )
    labels = column[np.arange(rows)].astype(np.int64)
    check_labels(labels, None, path)
    return labels


def _check_widths(options: Options, features: dict[str, Source]) -> None:
    widths = {part: source.shape[1] for part, source in features.items()}
    first, *others = widths
    for part in others:
        if widths[part] != widths[first]:
            raise DataError(
                f"{options.parts[part]}: {widths[part]} features per row, "
                f"but {options.parts[first]} has {widths[first]}"
            )


def _class_names(options: Options, classes: int, rows: int) -> list[str]:
    if not options.class_names:
        if classes > rows:
            raise DataError(
                f"labels up to {classes - 1}, but only {rows} rows: too few for a class each"
            )
        return [str(label) for label in range(classes)]
    path = Path(options.class_names)
    try:
        text = path.read_text(encoding="utf-8")
        names: Any = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as class names: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: expected a list of class names, none of them empty")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: the class name {twice!r} stands twice")
    return names
