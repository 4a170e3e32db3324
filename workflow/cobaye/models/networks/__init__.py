"""Networks: one kind per file, each a classifier whose last linear layer is its ``head``.

A kind is a file here: ``Options`` and ``build(options, shape, classes)``, a module from normalised
float32 inputs (N, *shape) to logits (N, classes). What ``head`` receives are its penultimate
features; a batch norm behind it, if there is one, is its ``norm``, without scale and shift.
"""

from __future__ import annotations

import torch

from cobaye import kinds, recipes


def build(
    model: recipes.Kind, shape: tuple[int, ...], classes: int, seed: int = 0
) -> torch.nn.Module:
    """Return a network whose initial weights are a function of (model, shape, classes, seed).

    All runs of one seed so share their initial weights, whatever their optimizer or λ. The global
    random state is left as it was.
    """
    options = recipes.parse(kinds.options("networks", model.kind), model.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kinds.load("networks", model.kind).build(options, shape, classes)
