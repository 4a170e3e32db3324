"""Adagrad (torch's Adagrad; Duchi et al., 2011)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "Adagrad"


@dataclass(frozen=True)
class Options:
    """lr_decay: the rate of step t is over 1 + (t − 1)·lr_decay. eps: beside the root of Σ g²."""

    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def __post_init__(self):
        _options.not_negative(self, "lr_decay", "initial_accumulator_value", "eps")
