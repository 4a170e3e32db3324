"""1 / (1 + decay · (epoch − 1))."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.schedules import _options


@dataclass(frozen=True)
class Options(_options.Decay):
    """Those of a decay."""


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return 1 / (1 + decay (epoch − 1))."""
    return 1.0 / (1.0 + options.decay * (epoch - 1))
