"""RMSprop, with or without momentum (torch's RMSprop; Hinton, 2012)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "RMSprop"


@dataclass(frozen=True)
class Options:
    """Its running mean and momentum."""

    #: Factor of the running mean of g².
    alpha: float = 0.99
    #: Added to its root.
    eps: float = 1e-8
    #: Momentum of the steps.
    momentum: float = 0.0
    #: Whether the squared running mean of g is taken off.
    centered: bool = False

    def __post_init__(self):
        _options.below_one(self, "alpha", "momentum")
        _options.not_negative(self, "eps")
