"""Adagrad (torch's Adagrad; Duchi et al., 2011)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Options:
    """lr_decay: the rate of step t is over 1 + (t − 1)·lr_decay. eps: beside the root of Σ g²."""

    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def __post_init__(self):
        if min(self.lr_decay, self.initial_accumulator_value, self.eps) < 0:
            raise ValueError("lr_decay, initial_accumulator_value and eps must be at least 0")


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return torch's Adagrad."""
    return torch.optim.Adagrad(
        groups,
        lr=learning_rate,
        lr_decay=options.lr_decay,
        initial_accumulator_value=options.initial_accumulator_value,
        eps=options.eps,
    )
