"""Adagrad (torch's Adagrad; Duchi et al., 2011)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "Adagrad"


@dataclass(frozen=True)
class Options:
    """Its rates and sums."""

    #: The rate of step t is divided by 1 + (t − 1)·`lr_decay`.
    lr_decay: float = 0.0
    #: Where each sum of g² begins.
    initial_accumulator_value: float = 0.0
    #: Added to the root of the sum.
    eps: float = 1e-10

    def __post_init__(self):
        _options.not_negative(self, "lr_decay", "initial_accumulator_value", "eps")
