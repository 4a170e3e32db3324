"""Optimizers: one kind per file, with ``Options`` and either ``TORCH`` or ``build``.

In: options, parameter groups and a learning rate. Out: a torch optimizer.

``TORCH`` names a class of `torch.optim` whose arguments are the fields of ``Options`` (`beta1` and
`beta2` are its pair ``betas``). ``build(groups, options, learning_rate)`` returns any other torch
optimizer. ``groups`` are torch parameter groups; the penalty λ stands in them as torch's
``weight_decay``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cobaye import kinds, recipes

if TYPE_CHECKING:
    import torch


def build(
    algorithm: recipes.Kind, groups: Iterable[dict[str, Any]], learning_rate: float
) -> torch.optim.Optimizer:
    """Return a torch optimizer over parameter groups."""
    # `_options`, in this package, is read without torch.
    import torch

    from cobaye.training.optimizers._eager import eager

    options = recipes.parse(kinds.options("optimizers", algorithm.kind), algorithm.options)
    name = kinds.constant("optimizers", algorithm.kind, "TORCH")
    if name is None:
        return kinds.load("optimizers", algorithm.kind).build(groups, options, learning_rate)
    arguments = dict(vars(options))
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    return eager(getattr(torch.optim, name))(groups, lr=learning_rate, **arguments)
