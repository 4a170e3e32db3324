"""exp(−decay · (epoch − 1))."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """decay: k, per epoch."""

    decay: float = 0.05

    def __post_init__(self):
        if not self.decay >= 0:
            raise ValueError("decay must be at least 0")


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return exp(−decay (epoch − 1))."""
    return math.exp(-options.decay * (epoch - 1))
