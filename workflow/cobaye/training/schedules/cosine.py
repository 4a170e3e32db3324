"""From 1 to `final` along half a cosine, after a linear rise over the first `warmup` epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

# An epoch's rate depends on how many there will be, so fewer epochs are no prefix of more.
NEEDS_EPOCHS = True


@dataclass(frozen=True)
class Options:
    """final: the last factor. warmup: epochs of the rise."""

    final: float = 0.0
    warmup: int = 0

    def __post_init__(self):
        if not (self.final >= 0 and self.warmup >= 0):
            raise ValueError(
                f"final and warmup must be at least 0, not {self.final} and {self.warmup}"
            )


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return epoch / warmup while it rises, then the half cosine of what is left."""
    if epoch <= options.warmup:
        return epoch / options.warmup
    done = (epoch - 1 - options.warmup) / max(1, epochs - options.warmup)
    return options.final + (1.0 - options.final) * 0.5 * (1.0 + math.cos(math.pi * done))
