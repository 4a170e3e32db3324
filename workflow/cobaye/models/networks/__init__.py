"""Networks: one kind per file, each a classifier whose last linear layer is its ``head``.

In: a kind's options, the shape of an input, the number of classes. Out: a torch module.

A kind is a file here: ``Options`` and ``build(options, shape, classes)``, a module from normalised
float32 inputs (N, *shape) to logits (N, classes). The inputs of ``head`` are the penultimate
features. A batch norm after ``head``, if there is one, is ``norm``, without scale and shift.
"""

from __future__ import annotations

import torch

from cobaye import kinds, recipes
from cobaye.errors import ConfigError
from cobaye.storage import machine


def build(
    model: recipes.Kind, shape: tuple[int, ...], classes: int, seed: int = 0
) -> torch.nn.Module:
    """Return a network whose initial weights are a function of (model, shape, classes, seed).

    All runs of one seed so share their initial weights, whatever their optimizer or λ. The global
    random state is left as it was. Raises ConfigError for a network without a `head`.
    """
    machine.keep_freed_memory()  # of activations and gradients
    options = recipes.parse(kinds.options("networks", model.kind), model.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kinds.load("networks", model.kind).build(options, shape, classes)
    if not isinstance(getattr(network, "head", None), torch.nn.Linear):
        raise ConfigError(
            f"{kinds.path('networks', model.kind)}: build: the network has no `head`, the name of "
            "the last linear layer"
        )
    return network
