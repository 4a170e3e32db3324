"""Stochastic gradient descent with momentum: b ← μ b + g, θ ← θ − α b (torch's SGD)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

# What the NumPy engine has of it: option → values.
SCRATCH = {"nesterov": [False]}
# It can train side by side (`engines.together`).
TOGETHER = {}


@dataclass(frozen=True)
class Options:
    """momentum: μ, in [0, 1). nesterov: step along g + μ b instead of b."""

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self):
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), not {self.momentum}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum")


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return torch's SGD."""
    return torch.optim.SGD(
        groups, lr=learning_rate, momentum=options.momentum, nesterov=options.nesterov
    )
