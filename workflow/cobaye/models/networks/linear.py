"""Softmax regression: one linear layer on the flattened input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# The engine that trains it, by a gradient in closed form.
ENGINE = "linear"
# The NumPy engine supports it, whatever its options.
SCRATCH = {}
# The batched engine supports it, whatever its options.
TOGETHER = {}


@dataclass(frozen=True)
class Options:
    """None: the sizes are those of the data."""

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        return (math.prod(shape) + 1) * classes


class Linear(torch.nn.Module):
    """Logits W x + b of inputs x (N, *shape), flattened."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.head = torch.nn.Linear(inputs, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K) of inputs (N, *shape)."""
        return self.head(inputs.flatten(1))


def build(options: Options, shape: tuple[int, ...], classes: int) -> Linear:
    """Return the model, its weights uniform in ±1/√D (torch's own initialisation)."""
    return Linear(math.prod(shape), classes)
