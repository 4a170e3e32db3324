"""Tensors of the linear engine: a flat θ and its views, and where inputs are held."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cobaye.storage.mapped_rows import MappedRows


def split_theta(flat: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return a flat θ's weight (K, D) and bias (K,)."""
    return flat[:-classes].view(classes, -1), flat[-classes:]


def decay_of_each(decay: float | Tensor, weight: Tensor, penalised: int) -> Tensor | None:
    """Return λ of each of the first `penalised` entries of θ where `decay` is (K,); else None.

    weight: W (K, D), for its sizes, dtype and device. Raises ValueError for another number of λ.
    """
    if isinstance(decay, float):
        return None
    classes, inputs = weight.shape
    if len(decay) != classes:
        raise ValueError(f"{len(decay)} weight decays for {classes} classes")
    own = decay.to(weight)
    return torch.cat([own.repeat_interleave(inputs), own])[:penalised]


def copy_named(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors into others by name; other names or shapes raise ValueError."""
    found, expected = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for tensors in (source, target)
    )
    if found != expected:
        raise ValueError(f"cannot restore {found} into {expected}")
    for name, tensor in target.items():
        tensor.copy_(source[name])


def fits(inputs: Tensor | MappedRows, device: str) -> bool:
    """Tell whether inputs fit where steps are computed: in four fifths of what is free."""
    if not isinstance(inputs, Tensor):
        return False
    if not device.startswith("cuda"):
        return True
    return inputs.nbytes < 0.8 * torch.cuda.mem_get_info(device)[0]
