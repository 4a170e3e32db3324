"""From 1 to `final` along half a cosine, after a linear rise over the first `warmup` epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The rate depends on the number of epochs, so a shorter training is not the start of a longer one.
NEEDS_EPOCHS = True


@dataclass(frozen=True)
class Options:
    """Its ends."""

    #: Last factor of the learning rate.
    final: float = 0.0
    #: Epochs of the linear rise.
    warmup: int = 0

    def __post_init__(self):
        if not (self.final >= 0 and self.warmup >= 0):
            raise ValueError(
                f"final and warmup must be at least 0, not {self.final} and {self.warmup}"
            )


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return epoch / warmup during the rise, then a half cosine over the other epochs."""
    if epoch <= options.warmup:
        return epoch / options.warmup
    done = (epoch - 1 - options.warmup) / max(1, epochs - options.warmup)
    return options.final + (1.0 - options.final) * 0.5 * (1.0 + math.cos(math.pi * done))
