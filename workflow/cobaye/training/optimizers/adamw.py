"""Adam with decoupled weight decay, θ ← (1 − α λ) θ (torch's AdamW; Loshchilov, Hutter, 2019)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Options:
    """beta1, beta2: of the running means of g and g², in [0, 1). amsgrad: Reddi et al. (2018)."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    amsgrad: bool = False

    def __post_init__(self):
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1, beta2 must be in [0, 1), not {self.beta1}, {self.beta2}")
        if self.eps < 0:
            raise ValueError(f"eps must be at least 0, not {self.eps}")


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return torch's AdamW."""
    return torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        amsgrad=options.amsgrad,
    )
