"""Arrays larger than memory: read, gathered and written block by block."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from cobaye.errors import CorruptFile
from cobaye.storage import files

BLOCK = 1 << 23  # bytes held at once


class Source(Protocol):
    """A source of rows: an array, or what reads like one. Rows are numbered along axis 0.

    An index is an array of row numbers in rising order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, index: np.ndarray) -> np.ndarray: ...


class SelectedRows:
    """Some rows of several sources one after the other, read when asked for.

    Parameters
    ----------
    sources : name → source, equal in shape but for their rows.
    index : (N,) int64, rising: row numbers over all sources, in their order.
    """

    def __init__(self, sources: Mapping[str, Source], index: np.ndarray):
        self.names, self.sources, self.index = list(sources), list(sources.values()), index
        counts = [source.shape[0] for source in self.sources]
        self.starts = np.cumsum([0, *counts[:-1]])
        self.shape = (len(index), *self.sources[0].shape[1:])
        self.dtype = np.result_type(*(source.dtype for source in self.sources))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, block: slice) -> np.ndarray:
        index = self.index[block]
        source = np.searchsorted(self.starts, index, side="right") - 1
        pieces = [self.sources[i][index[source == i] - self.starts[i]] for i in np.unique(source)]
        return np.concatenate(pieces, dtype=self.dtype) if pieces else np.empty(0, self.dtype)

    def origin(self, row: int) -> str:
        """Return where a row comes from: ``row 3 of 'train'``."""
        source = np.searchsorted(self.starts, self.index[row], side="right") - 1
        return f"row {self.index[row] - self.starts[source]} of {self.names[source]!r}"


class ArrayFile:
    """The rows of an .npy file, read piece by piece: unlike a memory map, no page stays."""

    def __init__(self, path: Path):
        self.path = path
        with open(path, "rb") as file:
            try:
                version = np.lib.format.read_magic(file)
                if version != (1, 0):
                    raise ValueError(f"version {version}")
                self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(file)
                if self.dtype.hasobject:
                    raise ValueError("objects")
            except ValueError as error:
                raise CorruptFile(f"{path}: expected .npy version 1.0, found {error}") from None
            self.start = file.tell()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return rows start to stop, a new array."""
        width = math.prod(self.shape[1:])
        offset = self.start + start * width * self.dtype.itemsize
        flat = np.fromfile(self.path, self.dtype, (stop - start) * width, offset=offset)
        return flat.reshape(-1, *self.shape[1:])


def load_array(path: Path, mmap_mode: Literal["r", "c"] | None = None) -> np.ndarray:
    """Read an .npy file, as data and never as code; anything else raises CorruptFile."""
    try:
        if mmap_mode:
            return np.lib.format.open_memmap(path, mmap_mode)
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise CorruptFile(f"{path}: expected an .npy array, found {said_of(error)}") from None


def said_of(error: Exception) -> str:
    """Return what NumPy said of a file, without its advice to unpickle it."""
    objects = "Python objects, which are never loaded: store numbers"
    return objects if "allow_pickle" in str(error) else str(error)


def blocks(array: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, rows) of an array or of `SelectedRows`, BLOCK bytes at a time."""
    width = math.prod(array.shape[1:]) * array.dtype.itemsize
    step = max(1, BLOCK // max(1, width))
    for start in range(0, array.shape[0], step):
        yield start, array[start : start + step]


def save_array(path: Path, array: Any) -> str:
    """Write an array, or `SelectedRows`, as .npy 1.0, whole or not at all; return its sha256.

    Axes are in C order.
    """
    header = io.BytesIO()
    description = np.lib.format.dtype_to_descr(array.dtype)
    fields = {"descr": description, "fortran_order": False, "shape": tuple(array.shape)}
    np.lib.format.write_array_header_1_0(header, fields)
    total = hashlib.sha256(header.getvalue())
    with files.writing(path) as file:
        file.write(header.getvalue())
        for _, rows in blocks(array):
            data = np.ascontiguousarray(rows).data
            file.write(data)
            total.update(data)
    return total.hexdigest()
