"""The perceptron x W + b: one affine map, trained on squared error with one-hot targets (S3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cobaye.models.networks.linear import Linear

# The engine that trains it, by a gradient in closed form.
ENGINE = "linear"
# What it minimises unless the config says otherwise.
LOSS = "squared-error"
# The NumPy engine supports it, whatever its options.
SCRATCH = {}


@dataclass(frozen=True)
class Options:
    """None: the sizes are those of the data."""

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        return (math.prod(shape) + 1) * classes


def build(options: Options, shape: tuple[int, ...], classes: int) -> Linear:
    """Return the model, its weights uniform in ±1/√D (torch's own initialisation)."""
    return Linear(math.prod(shape), classes)
