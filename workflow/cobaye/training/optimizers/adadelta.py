"""Adadelta (torch's Adadelta; Zeiler, 2012), whose learning rate is usually 1."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "Adadelta"


@dataclass(frozen=True)
class Options:
    """Its running means."""

    #: Factor of the running means of g² and of squared steps.
    rho: float = 0.9
    #: Added to both of them.
    eps: float = 1e-6

    def __post_init__(self):
        if not 0 <= self.rho <= 1:
            raise ValueError(f"rho must be in [0, 1], not {self.rho}")
        _options.not_negative(self, "eps")
