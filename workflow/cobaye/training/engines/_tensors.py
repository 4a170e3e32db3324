"""Tensors of the engines of linear models: a flat θ and its views, and where inputs lie."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
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
    decays = decay.to(weight)
    return torch.cat([decays.repeat_interleave(inputs), decays])[:penalised]


def copy_named(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors into others by name; other names or shapes raise ValueError."""
    shapes, expected = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for tensors in (source, target)
    )
    if shapes != expected:
        raise ValueError(f"cannot restore {shapes} into {expected}")
    for name, tensor in target.items():
        tensor.copy_(source[name])


def flat_inputs(
    split: Split, normalization: Normalization | None, device: str
) -> Tensor | MappedRows:
    """Return a split's inputs (N, D), normalised, on the device if they fit there.

    They fit in four fifths of a GPU's free memory; rows on disk stay there.
    """
    inputs = (normalization(split.inputs) if normalization else split.inputs).flatten(1)
    on_disk = not isinstance(inputs, Tensor)
    if on_disk or (
        device.startswith("cuda") and inputs.nbytes >= 0.8 * torch.cuda.mem_get_info(device)[0]
    ):
        return inputs
    return inputs.to(device)
