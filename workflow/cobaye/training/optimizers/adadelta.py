"""Adadelta (torch's Adadelta; Zeiler, 2012), whose learning rate is usually 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Options:
    """rho: of the running means of g² and of squared steps, in [0, 1]. eps: beside both of them."""

    rho: float = 0.9
    eps: float = 1e-6

    def __post_init__(self):
        if not 0 <= self.rho <= 1:
            raise ValueError(f"rho must be in [0, 1], not {self.rho}")
        if self.eps < 0:
            raise ValueError(f"eps must be at least 0, not {self.eps}")


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return torch's Adadelta."""
    return torch.optim.Adadelta(groups, lr=learning_rate, rho=options.rho, eps=options.eps)
