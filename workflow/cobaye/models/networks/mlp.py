"""Fully connected layers of any widths, with tanh or ReLU between them."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cobaye.models.networks import _layers

# Modules that a study may name under `train_only` or `fresh`.
PARTS = ("body", "head")
# Option → values that the NumPy engine supports.
SCRATCH = {"batch_norm": [False]}
# Option → values that the batched engine supports.
TOGETHER = {"batch_norm": [False], "dropout": [0.0]}


@dataclass(frozen=True)
class Options:
    """Widths of the hidden layers, and what stands between them."""

    #: Sizes of the hidden layers, each at least 1.
    widths: tuple[int, ...] = (100,)
    #: What follows each hidden layer.
    activation: Literal["relu", "tanh"] = "relu"
    #: Share of each hidden layer's values set to zero in training.
    dropout: float = 0.0
    #: Batch norm before each activation.
    batch_norm: bool = False
    #: Initial weights: below.
    initialization: Literal["default", "he", "glorot", "uniform"] = "default"

    def __post_init__(self):
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must be one or more numbers of at least 1: {self.widths}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        sizes = (math.prod(shape), *self.widths, classes)
        affine = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
        # Scale, shift and two running statistics; a counter in int64.
        return affine + self.batch_norm * sum(4 * width + 2 for width in self.widths)


class MLP(nn.Module):
    """Logits (N, K) of inputs (N, *shape), flattened; `head` reads the last hidden layer."""

    def __init__(self, options: Options, inputs: int, classes: int):
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, width in enumerate(options.widths, start=1):
            layers[f"linear{i}"] = nn.Linear(inputs, width)
            if options.batch_norm:
                layers[f"norm{i}"] = _layers.BatchNorm1d(width)
            layers[f"{options.activation}{i}"] = _layers.ACTIVATIONS[options.activation]()
            if options.dropout:
                layers[f"dropout{i}"] = nn.Dropout(options.dropout)
            inputs = width
        self.body = nn.Sequential(layers)
        self.head = nn.Linear(inputs, classes)
        _layers.initialize(self, options.initialization)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.body(inputs.flatten(1)))


def build(options: Options, shape: tuple[int, ...], classes: int) -> MLP:
    """Return the network for inputs of any shape."""
    return MLP(options, math.prod(shape), classes)
