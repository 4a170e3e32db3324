"""What a network costs per pixel: seconds of one core, and bytes while a batch is in it. No torch.

resnet-small: glyphs-backbone (35 s on two cores for 10 × 12,000 × 32²). vgg16 at 32²: 12.2 ms and
3.4 MB per image in training, 4.1 ms and 0.7 MB forward; of a quarter of the width, 0.8 to 1.3 ms
and 0.9 MB. Others as ResNet-50 at 224²: 0.157 s and 83 MB, 0.046 s and 15 MB.
"""

from __future__ import annotations

from cobaye import recipes

SECONDS = {"resnet-small": 0.6e-6, "vgg16": 12e-6}
BYTES = {"vgg16": (3600, 700)}
RESNET50_SECONDS, RESNET50_BYTES = 3.1e-6, (1650, 300)
FORWARD = 1 / 3


def seconds(model: recipes.Kind, pixels: int) -> float:
    """Return the seconds of one image in training, forward and back."""
    width = model.options.get("width", 1.0)
    return pixels * SECONDS.get(model.kind, RESNET50_SECONDS) * width**1.5


def held(model: recipes.Kind, pixels: int, forward: bool = False) -> float:
    """Return the bytes that one image of a batch holds, in training or in a forward pass."""
    width = model.options.get("width", 1.0)
    return pixels * BYTES.get(model.kind, RESNET50_BYTES)[forward] * width
