"""RMSprop, with or without momentum (torch's RMSprop; Hinton, 2012)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "RMSprop"


@dataclass(frozen=True)
class Options:
    """alpha: of the running mean of g², in [0, 1). centered: less the squared mean of g."""

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self):
        _options.below_one(self, "alpha", "momentum")
        _options.not_negative(self, "eps")
