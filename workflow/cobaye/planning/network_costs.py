"""What a network costs per pixel: seconds of one core, and bytes while a batch is in it. No torch.

A kind states its own in ``COST``: ``seconds`` of training, forward and back, and ``bytes``, in
training and in a forward pass. What it does not state is taken from ResNet-50, measured at 224²:
0.157 s and 98 MB in training, 0.046 s and 26 MB forward. How large a checkpoint is, it states in
``Options.numbers``. A network that is no kind (None) is taken for ResNet-50.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cobaye import kinds, recipes

RESNET50 = {"seconds": 3.1e-6, "bytes": (1950, 520)}
FORWARD = 1 / 3
NUMBERS = 25_600_000  # of a checkpoint of ResNet-50


def seconds(model: recipes.Kind | None, pixels: int) -> float:
    """Return the seconds of one image in training, forward and back."""
    return pixels * _cost(model)["seconds"] * _width(model) ** 1.5


def held(model: recipes.Kind | None, pixels: int, forward: bool = False) -> float:
    """Return the bytes that one image of a batch holds, in training or in a forward pass."""
    return pixels * _cost(model)["bytes"][forward] * _width(model)


def numbers(model: recipes.Kind, shape: Sequence[int], classes: int) -> int:
    """Return how many float32 a checkpoint has room for; ResNet-50's where the kind says nothing.

    A number that is stored as int64 counts twice.
    """
    options = recipes.parse(kinds.options("networks", model.kind), model.options)
    stated = hasattr(options, "numbers")
    return options.numbers(tuple(shape), classes) if stated else NUMBERS


def _cost(model: recipes.Kind | None) -> dict[str, Any]:
    return RESNET50 | (kinds.constant("networks", model.kind, "COST", {}) if model else {})


def _width(model: recipes.Kind | None) -> float:
    return model.options.get("width", 1.0) if model else 1.0
