"""Two networks: an affine map, and any number of hidden layers below one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from cobaye.training.scratch import functions, initialization
from cobaye.training.scratch.tensor import Module, Parameter, Tensor


class Affine(Module):
    """W (outputs, inputs) and b (outputs,), all zero until they are initialised."""

    def __init__(self, name: str, inputs: int, outputs: int, dtype: type = np.float64):
        self.weight = Parameter(f"{name}.weight", np.zeros((outputs, inputs), dtype))
        self.bias = Parameter(f"{name}.bias", np.zeros(outputs, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return functions.affine(x, self.weight, self.bias)


class LinearNetwork(Module):
    """Logits W x + b of images (B, inputs)."""

    def __init__(self, inputs: int, classes: int, dtype: type = np.float64):
        self.head = Affine("head", inputs, classes, dtype)

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the weights after Glorot; the bias is zero."""
        initialization.glorot(self.head.weight.data, generator)

    def forward(self, x: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        """Return logits (B, classes). There is nothing random in it."""
        return self.head.forward(x)


class DeepNetwork(Module):
    """Hidden layers of any widths, each an affine map and an activation, and an affine head.

    dropout: the share of each hidden layer's values that training sets to zero.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        classes: int,
        activation: Literal["tanh", "relu"] = "tanh",
        dropout: float = 0.0,
        dtype: type = np.float64,
    ):
        sizes = [inputs, *widths]
        self.hidden = [
            Affine(f"body.linear{i}", below, width, dtype)
            for i, (below, width) in enumerate(itertools.pairwise(sizes), start=1)
        ]
        self.head = Affine("head", sizes[-1], classes, dtype)
        self.activation, self.dropout = activation, dropout

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw the weights: after Kaiming below a ReLU, after Glorot elsewhere; biases are zero."""
        draw = initialization.kaiming if self.activation == "relu" else initialization.glorot
        for layer in self.hidden:
            draw(layer.weight.data, generator)
        initialization.glorot(self.head.weight.data, generator)

    def forward(self, x: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        """Return logits (B, classes). With a generator, as in training: values are dropped."""
        activate = functions.ACTIVATIONS[self.activation]
        for layer in self.hidden:
            x = activate(layer.forward(x))
            if generator is not None and self.dropout:
                x = functions.dropout(x, self.dropout, generator)
        return self.head.forward(x)
