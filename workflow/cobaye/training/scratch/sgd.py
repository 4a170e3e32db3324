"""Stochastic gradient descent: v ← μ v + ∂L/∂θ + λ θ, then θ ← θ − α v, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cobaye.training.scratch.tensor import Parameter


class SGD:
    """The step of a set of parameters.

    learning_rate: α. momentum: μ, 0 for plain descent. weight_decay: λ of λ/2 ‖θ‖², where θ is the
    parameters of which `is_penalised` says so by name (all unless given).
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        is_penalised: Callable[[str], bool] = lambda name: True,
    ):
        self.parameters, self.learning_rate = parameters, learning_rate
        self.momentum, self.weight_decay, self.is_penalised = momentum, weight_decay, is_penalised
        self.velocities: dict[str, np.ndarray] = {}

    def zero_grad(self) -> None:
        """Forget all gradients: `Tensor.backward` adds to what is there."""
        for parameter in self.parameters:
            parameter.gradient = None

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² of the present parameters."""
        if not self.weight_decay:
            return 0.0
        squares = (float((p.data**2).sum()) for p in self.parameters if self.is_penalised(p.name))
        return self.weight_decay / 2 * sum(squares)

    def step(self) -> None:
        """Change every parameter by its gradient."""
        for parameter in self.parameters:
            step = parameter.gradient
            if self.weight_decay and self.is_penalised(parameter.name):
                step = step + self.weight_decay * parameter.data
            if self.momentum:
                velocity = self.velocities.get(parameter.name)
                step = step if velocity is None else self.momentum * velocity + step
                self.velocities[parameter.name] = step
            parameter.data -= self.learning_rate * step
