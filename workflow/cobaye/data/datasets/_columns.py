"""Columns: the named arrays of .npy, .npz, .safetensors and .parquet files, rows read when asked.

Nothing is ever unpickled: a pickle under any of these names is refused.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cobaye.errors import DataError, nearest
from cobaye.storage.arrays import Source, said_of

SUFFIXES = (".npy", ".npz", ".parquet", ".safetensors")
# safetensors' names of the types that a column may have; bfloat16 is the upper half of a float32.
SAFETENSORS = {
    "BF16": "<u2",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


def name_problems(parts: Mapping[str, str], labels: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the names of files of features and labels, one sentence each."""
    problems = [] if parts else ["parts: name at least one file of features"]
    problems += [
        f"labels.{part}: there is no such part: {nearest(part, parts)}"
        for part in labels
        if part not in parts
    ]
    problems += [
        f"{key}.{part}: {file!r} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        for key, named in (("parts", parts), ("labels", labels))
        for part, file in named.items()
        if Path(file).suffix not in SUFFIXES
    ]
    return problems + [
        f"labels.{part}: missing: the labels of {file!r} need a file of their own"
        for part, file in parts.items()
        if Path(file).suffix == ".npy" and part not in labels
    ]


class Column:
    """An array that is mapped anew for each read, so that none of its pages stays in memory.

    dtype: of the rows that are read: float64 and bfloat16 become float32.
    """

    def __init__(self, map_file: Callable[[], np.ndarray], bfloat16: bool = False):
        self.map_file, self.bfloat16 = map_file, bfloat16
        mapped = map_file()
        self.shape = mapped.shape
        native = mapped.dtype.newbyteorder("=")
        narrow = bfloat16 or native == np.float64
        self.dtype = np.dtype(np.float32) if narrow else native

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        rows = np.asarray(self.map_file()[index])
        if self.bfloat16:
            return (rows.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # infinite in float32: reported with split and row
            return rows.astype(self.dtype, copy=False)


def size_of(path: Path, key: str) -> tuple[int, int, int] | None:
    """Return (rows, numbers per row, bytes per number) of a file of features without reading it.

    key: as in :func:`open_column`. Where the file's head does not tell at once, as many rows of 512
    float32 numbers as its bytes could hold. None for a file that is not there.
    """
    if not path.is_file():
        return None
    if path.suffix in (".npy", ".safetensors"):
        with contextlib.suppress(DataError, ValueError):
            column = open_column(path, key, None)
            rows, width = column.shape
            return rows, width, column.dtype.itemsize
    return -(-path.stat().st_size // (4 * 512)), 512, 4


def open_column(path: Path, key: str, beside: str | None) -> Source:
    """Return an array of a file.

    key: its name inside .npz, .safetensors or .parquet. beside: the name of the labels in the same
    file; then a .parquet that has no column `key` gives all its other columns, together.
    Raises DataError for a file that cannot be read, a missing name, and no rows.
    """
    openers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": Parquet}
    try:
        column = openers[path.suffix](path, key, beside)
    except DataError:
        raise
    except Exception as error:  # whatever a reader makes of bytes that are not its format
        said = f"{type(error).__name__}: {said_of(error)}".split("\n")[0]
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {said}") from None
    if not column.shape or column.shape[0] == 0:
        raise DataError(f"{path}: {key!r} has no rows, its shape is {tuple(column.shape)}")
    return column


def _npy(path: Path, key: str, beside: str | None) -> Column:
    if zipfile.is_zipfile(path):
        raise ValueError("it is an .npz: name it so")
    return Column(partial(np.load, path, mmap_mode="r", allow_pickle=False))


def _npz(path: Path, key: str, beside: str | None) -> Column:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip archive")
    with np.load(path, allow_pickle=False) as archive:
        _require(path, key, archive.files)
        array = archive[key]
    return Column(lambda: array)


def _safetensors(path: Path, key: str, beside: str | None) -> Column:
    from safetensors import safe_open

    with safe_open(path, "numpy") as opened:  # checks the header
        _require(path, key, opened.keys())
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[key]
    if entry["dtype"] not in SAFETENSORS:
        raise ValueError(f"{key!r} is of type {entry['dtype']}")
    offset = 8 + length + entry["data_offsets"][0]
    dtype, shape = np.dtype(SAFETENSORS[entry["dtype"]]), tuple(entry["shape"])
    if 0 in shape:
        return Column(lambda: np.empty(shape, dtype))
    mapped = partial(np.memmap, path, dtype, "r", offset, shape)
    return Column(mapped, bfloat16=entry["dtype"] == "BF16")


def _require(path: Path, key: str, known: list[str]) -> None:
    if key not in known:
        raise DataError(f"{path}: has no {key!r}: {nearest(key, known)}")


class Parquet:
    """A column of lists of equal length, a column of numbers, or several of them side by side.

    Read one row group at a time: smaller groups take less memory.
    """

    def __init__(self, path: Path, key: str, beside: str | None):
        import pyarrow.parquet

        self.path, self.file = path, pyarrow.parquet.ParquetFile(path)
        self.names = _column_names(path, self.file.schema_arrow, key, beside)
        self.alone = self.names == [key]
        counts = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = np.cumsum([0, *counts])
        self.held: tuple[int, Any] = (-1, None)
        self.width: tuple[int, ...] | None = None
        first = self._group(0) if counts else np.empty(0)
        self.width, self.dtype = first.shape[1:], first.dtype
        self.shape = (int(self.starts[-1]), *self.width)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        group = np.searchsorted(self.starts, index, side="right") - 1
        pieces = [self._group(i)[index[group == i] - self.starts[i]] for i in np.unique(group)]
        return np.concatenate(pieces) if pieces else np.empty((0, *self.shape[1:]), self.dtype)

    def _group(self, number: int) -> np.ndarray:
        """Return a row group as an array; the last one is kept, as rows come in order."""
        if self.held[0] != number:
            table = self.file.read_row_group(number, columns=self.names)
            columns = [
                _values(table.column(name), f"{self.path}: column {name!r}") for name in self.names
            ]
            values = columns[0] if self.alone else np.stack(columns, axis=1)
            if self.width not in (None, values.shape[1:]):
                raise DataError(
                    f"{self.path}: rows of {self.width[0]} and of {values.shape[1]} numbers"
                )
            narrow = values.dtype == np.float64
            self.held = (number, values.astype(np.float32) if narrow else values)
        return self.held[1]


def _column_names(path: Path, schema: Any, key: str, beside: str | None) -> list[str]:
    """Return `key` if there is such a column, else all columns but `beside`, if all are numbers."""
    import pyarrow as pa

    if key in schema.names:
        return [key]
    others = [name for name in schema.names if name != beside]
    types = [schema.field(name).type for name in others]
    if beside is None or not types or not all(map(pa.types.is_primitive, types)):
        raise DataError(f"{path}: has no column {key!r}: {nearest(key, schema.names)}")
    return others


def _values(column: Any, where: str) -> np.ndarray:
    """Return a column of a table, (N,), or (N, D) for lists of D numbers."""
    import pyarrow as pa

    array = column.combine_chunks()
    if array.null_count:
        raise DataError(f"{where} has {array.null_count} empty values")
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise DataError(f"{where} has lists of {lengths[0]} to {lengths[-1]} numbers")
    elif not pa.types.is_fixed_size_list(array.type):
        if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
            raise DataError(f"{where} holds {array.type}, not numbers")
        return array.to_numpy(zero_copy_only=False)
    return _values(pa.chunked_array([array.flatten()]), where).reshape(len(array), -1)
