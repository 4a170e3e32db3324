"""Stochastic gradient descent with momentum: b ← μ b + g, θ ← θ − α b (torch's SGD)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "SGD"
# The option values that the NumPy engine supports.
SCRATCH = {"nesterov": [False]}
# The batched engine supports all option values.
TOGETHER = {}


@dataclass(frozen=True)
class Options:
    """Its momentum."""

    #: μ of b ← μ b + g.
    momentum: float = 0.9
    #: Whether the step is along g + μ b instead of b; it needs a momentum.
    nesterov: bool = False

    def __post_init__(self):
        _options.below_one(self, "momentum")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum")
