"""The fastest matrix product: oneDNN's on CPU, where torch has it, or bfloat16's."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]

# Codes of glibc's mallopt, and bytes: up to so many, freed memory is kept for the next product.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 1 << 28


def onednn(device: torch.device, dtype: torch.dtype) -> Product | None:
    """Return oneDNN's (A, B) ↦ A Bᵀ of matrices, or None where torch does not have it.

    It is twice as fast as MKL's on some processors of AMD, and on one of Intel's up to 17 % slower
    (benchmarks/head_training.py).
    """
    single = device.type == "cpu" and dtype == torch.float32
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.enabled
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if not (single and both and operator):
        return None
    keep_freed_memory()
    return lambda a, b: operator.default(a, b, None, "none", [], "")


def product(device: torch.device, dtype: torch.dtype) -> Product:
    """Return (A, B) ↦ A Bᵀ: oneDNN's, or torch's own."""
    return onednn(device, dtype) or (lambda a, b: a @ b.T)


def bfloat16(device: torch.device) -> Product:
    """Return (A, B) ↦ A Bᵀ in float32, of matrices taken as bfloat16 and accumulated in float32.

    On CPU, torch has no such product with a float32 result: sums are rounded to bfloat16, once.
    """
    if device.type == "cuda":
        return lambda a, b: torch.mm(a.bfloat16(), b.bfloat16().T, out_dtype=torch.float32)
    keep_freed_memory()
    return lambda a, b: torch.mm(a.bfloat16(), b.bfloat16().T).float()


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 in its instructions, not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next product, instead of giving it to the system.

    A product that allocates its result would else touch new pages each time: 0.6 µs for each 4 KiB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(MMAP_THRESHOLD, KEPT)
        mallopt(TRIM_THRESHOLD, KEPT)
