"""Tensors of the engines of linear models: a flat θ and its views, and where inputs lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from cobaye import recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.errors import ConfigError
from cobaye.objective import matmul
from cobaye.storage.mapped_rows import MappedRows

# Multiply-adds of a product below which bfloat16 gains nothing on CPU.
SMALLEST_MIXED = 2**21


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


def sgd_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    velocities: Sequence[Tensor],
    decays: Sequence[float],
    momentum: float,
    rate: float,
    *,
    nesterov: bool = False,
) -> None:
    """Step as torch's SGD does, in one pass: m ← μ m + ∇L + λ θ, θ ← θ − α m; λ of each tensor."""
    options = {"momentum": momentum, "lr": rate, "dampening": 0.0, "nesterov": nesterov}
    options |= {"maximize": False, "is_first_step": False}
    for decay in dict.fromkeys(decays):
        chosen = [each == decay for each in decays]
        torch._fused_sgd_(
            *(list(compress(each, chosen)) for each in (parameters, gradients)),
            list(compress(velocities, chosen)) if momentum else [],
            weight_decay=decay,
            **options,
        )


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


def precision_of(recipe: recipes.Training, split: Split, device: str) -> dict[str, Any]:
    """Return what the engines of linear models are told of precision: `dtype` and `mixed`.

    Raises ConfigError where bfloat16 is asked for and the device has no such products, or where
    they are too small to gain from it.
    """
    if recipe.precision != "bfloat16":
        return {"dtype": getattr(torch, recipe.precision)}
    batch = min(recipe.optimizer.batch_size, len(split.labels))
    width = math.prod(split.inputs.shape[1:])
    if not matmul.has_bfloat16(torch.device(device)):
        raise ConfigError(
            f"precision: 'bfloat16': {device} of this machine multiplies no bfloat16: write float32"
        )
    if batch * width * split.classes < SMALLEST_MIXED:
        raise ConfigError(
            f"precision: 'bfloat16': batches of {batch} images of {width} features and "
            f"{split.classes} classes are too small to gain from it: write float32"
        )
    return {"dtype": torch.float32, "mixed": True}


def flat_inputs(
    split: Split, normalization: Normalization | None, device: str
) -> Tensor | MappedRows:
    """Return a split's inputs (N, D), normalised, on the device if they fit there.

    They fit in two fifths of a GPU's free memory, so that a copy of another dtype fits beside them;
    rows on disk stay there.
    """
    inputs = (normalization(split.inputs) if normalization else split.inputs).flatten(1)
    on_disk = not isinstance(inputs, Tensor)
    if on_disk or (
        device.startswith("cuda") and inputs.nbytes >= 0.4 * torch.cuda.mem_get_info(device)[0]
    ):
        return inputs
    return inputs.to(device)
