"""What a network costs per pixel: seconds of one core, and bytes while a batch is in it. No torch.

A kind states its own in ``COST``: ``seconds`` of training, forward and back, and ``bytes``, in
training and in a forward pass. What it does not state is taken from ResNet-50, measured at 224²:
0.157 s and 83 MB in training, 0.046 s and 15 MB forward.
"""

from __future__ import annotations

from typing import Any

from cobaye import kinds, recipes

RESNET50 = {"seconds": 3.1e-6, "bytes": (1650, 300)}
FORWARD = 1 / 3


def seconds(model: recipes.Kind, pixels: int) -> float:
    """Return the seconds of one image in training, forward and back."""
    return pixels * _cost(model)["seconds"] * model.options.get("width", 1.0) ** 1.5


def held(model: recipes.Kind, pixels: int, forward: bool = False) -> float:
    """Return the bytes that one image of a batch holds, in training or in a forward pass."""
    return pixels * _cost(model)["bytes"][forward] * model.options.get("width", 1.0)


def _cost(model: recipes.Kind) -> dict[str, Any]:
    return RESNET50 | kinds.constant("networks", model.kind, "COST", {})
