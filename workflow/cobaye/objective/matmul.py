"""The fastest matrix product on this processor: MKL's, oneDNN's, or bfloat16's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, Protocol

import torch
from torch import Tensor

from cobaye.storage import machine

# Of float32 matrices on CPU.
Library = Literal["mkl", "onednn"]

_library: ContextVar[Library | None] = ContextVar("library", default=None)


class Product(Protocol):
    """A product of matrices."""

    def __call__(self, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        """Return A Bᵀ, in the memory of `out` where the library can write there."""


@functools.cache
def fastest() -> Library:
    """Return the library whose float32 products take less time on this processor.

    By its maker, not by timing, so that each run on one machine takes the same. oneDNN takes half
    of MKL's time on some processors of AMD and never more; on one of Intel's, an epoch by MKL takes
    0.89 of one by oneDNN (benchmarks/README.md, head_training.py).
    """
    return "mkl" if "Intel" in machine.processor() else "onednn"


@contextlib.contextmanager
def library(name: Library | None) -> Iterator[Library]:
    """Take a library for all products meanwhile, or `fastest` for None; yield the one taken.

    A run that goes on so keeps the library that it began with, on whatever processor.
    """
    token = _library.set(name or fastest())
    try:
        yield _library.get()
    finally:
        _library.reset(token)


def product(device: torch.device, dtype: torch.dtype) -> Product:
    """Return the fastest product of matrices of a dtype, with results of this dtype."""
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    single = device.type == "cpu" and dtype == torch.float32
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.enabled
    if not (single and both and operator and (_library.get() or fastest()) == "onednn"):
        return plain
    machine.keep_freed_memory()
    return lambda a, b, out=None: operator.default(a, b, None, "none", [], "")


def plain(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return A Bᵀ by torch's own product."""
    return torch.mm(a, b.T, out=out)


def bfloat16(device: torch.device) -> Product:
    """Return the product in float32 of matrices taken as bfloat16 and accumulated in float32.

    On CPU, torch has no such product with a float32 result: sums are rounded to bfloat16, once.
    """
    if device.type == "cuda":
        return lambda a, b, out=None: torch.mm(
            a.bfloat16(), b.bfloat16().T, out_dtype=torch.float32
        )
    machine.keep_freed_memory()

    def rounded(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        sums = torch.mm(a.bfloat16(), b.bfloat16().T)
        return sums.float() if out is None else out.copy_(sums)

    return rounded


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 in its instructions, not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
