"""RMSprop, with or without momentum (torch's RMSprop; Hinton, 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Options:
    """alpha: of the running mean of g², in [0, 1). centered: less the squared mean of g."""

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self):
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must be in [0, 1), not {self.alpha}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), not {self.momentum}")
        if self.eps < 0:
            raise ValueError(f"eps must be at least 0, not {self.eps}")


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return torch's RMSprop."""
    return torch.optim.RMSprop(
        groups,
        lr=learning_rate,
        alpha=options.alpha,
        eps=options.eps,
        momentum=options.momentum,
        centered=options.centered,
    )
