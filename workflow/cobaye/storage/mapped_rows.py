"""Rows of features on disk, in one file or several, read as if they were one tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cobaye.storage.arrays import load_array


class MappedRows:
    """The rows of .npy files one after another, (N, D), by memory map: the system keeps what fits.

    Results equal those of a tensor of the same rows, bit for bit.
    """

    device = torch.device("cpu")
    ndim = 2

    def __init__(self, shards: Sequence[Path]):
        # Copy-on-write maps: nothing is ever written, and torch wants writable memory.
        arrays = [load_array(shard, mmap_mode="c") for shard in shards]
        self.parts = [torch.from_numpy(array) for array in arrays]
        self.ends = torch.tensor([len(part) for part in self.parts]).cumsum(0)
        self.shape = torch.Size([int(self.ends[-1]), self.parts[0].shape[1]])
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def is_floating_point(self) -> bool:
        """Tell whether the rows are floating-point numbers, as a tensor does."""
        return self.dtype.is_floating_point

    def new_empty(self, *shape: int, **options: object) -> Tensor:
        """Return an uninitialised tensor of the rows' dtype, as a tensor does."""
        return self.parts[0].new_empty(*shape, **options)

    def flatten(self, start_dim: int = 1) -> MappedRows:
        """Return the rows themselves: they are flat."""
        return self

    def take(self, rows: Tensor, out: Tensor) -> None:
        """Copy rows, (n,) int64, to `out`, (n, D) of the same dtype."""
        owners = torch.bucketize(rows, self.ends, right=True)
        for number in owners.unique().tolist():
            inside = (owners == number).nonzero()[:, 0]
            start = int(self.ends[number]) - len(self.parts[number])
            out[inside] = self.parts[number].index_select(0, rows[inside] - start)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield the rows in order, at most `size` at a time, as `Tensor.split` does."""
        for part in self.parts:
            yield from part.split(size)


def take(inputs: Tensor | MappedRows, rows: Tensor, out: Tensor) -> None:
    """Copy rows, (n,) int64, of a tensor or of files to `out`, (n, D) of the same dtype."""
    if isinstance(inputs, Tensor):
        torch.index_select(inputs, 0, rows, out=out)
    else:
        inputs.take(rows, out)
