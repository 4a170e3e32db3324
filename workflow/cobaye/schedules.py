"""Learning-rate schedules: the learning rate of an epoch, as a multiple of the first one's.

Pure functions of the epoch (1, 2, …), so a resumed run needs no schedule state. No torch here: a
config is checked against these classes before anything else is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    def factor(self, epoch: int, epochs: int) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Step:
    """Times `gamma` after every `step_size` epochs, as torch's StepLR."""

    step_size: int = 30
    gamma: float = 0.1

    def factor(self, epoch: int, epochs: int) -> float:
        """Return gamma^⌊(epoch − 1) / step_size⌋."""
        return self.gamma ** ((epoch - 1) // self.step_size)


@dataclass(frozen=True)
class Exponential:
    """exp(−decay · (epoch − 1))."""

    decay: float = 0.05

    def factor(self, epoch: int, epochs: int) -> float:
        """Return exp(−decay (epoch − 1))."""
        return math.exp(-self.decay * (epoch - 1))


@dataclass(frozen=True)
class TimeBased:
    """1 / (1 + decay · (epoch − 1))."""

    decay: float = 0.05

    def factor(self, epoch: int, epochs: int) -> float:
        """Return 1 / (1 + decay (epoch − 1))."""
        return 1.0 / (1.0 + self.decay * (epoch - 1))


@dataclass(frozen=True)
class Cosine:
    """From 1 to `final` along half a cosine, with a linear rise over the first `warmup` epochs."""

    final: float = 0.0
    warmup: int = 0

    def factor(self, epoch: int, epochs: int) -> float:
        """Return epoch / warmup while it rises, then the half cosine of what is left."""
        if epoch <= self.warmup:
            return epoch / self.warmup
        done = (epoch - 1 - self.warmup) / max(1, epochs - self.warmup)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


KINDS = {
    "constant": Constant,
    "step": Step,
    "exponential": Exponential,
    "time-based": TimeBased,
    "cosine": Cosine,
}
