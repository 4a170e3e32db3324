"""Optimizers: one kind per file, with ``Options`` and ``build(groups, options, learning_rate)``.

``groups`` are torch parameter groups; the penalty λ stands in them as torch's ``weight_decay``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from cobaye import kinds, recipes


def build(
    algorithm: recipes.Kind, groups: Iterable[dict[str, Any]], learning_rate: float
) -> torch.optim.Optimizer:
    """Return a torch optimizer over parameter groups."""
    options = recipes.parse(kinds.options("optimizers", algorithm.kind), algorithm.options)
    return kinds.load("optimizers", algorithm.kind).build(groups, options, learning_rate)
