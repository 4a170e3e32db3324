"""exp(−decay · (epoch − 1))."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cobaye.training.schedules import _options


@dataclass(frozen=True)
class Options(_options.Decay):
    """Those of a decay."""


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return exp(−decay (epoch − 1))."""
    return math.exp(-options.decay * (epoch - 1))
