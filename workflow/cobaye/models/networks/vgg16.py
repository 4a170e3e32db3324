"""VGG-16 for small images (S2.1): Simonyan and Zisserman's (2015) with batch norm, one dense layer.

Thirteen 3×3 convolutions in five blocks, each halved; every ReLU and the softmax receive values of
zero mean and unit variance over the batch: batch norm without scale and shift, which has torch's
momentum (0.1) and ε (1e-5).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cobaye.errors import ConfigError
from cobaye.models.networks import _layers

# It takes images only; networks without this take features too.
INPUT = "images"
# Modules that a study may name under `train_only` or `fresh`.
PARTS = (
    "body",
    "conv1",
    "conv2",
    "conv3",
    "conv4",
    "conv5",
    "conv6",
    "conv7",
    "conv8",
    "conv9",
    "conv10",
    "conv11",
    "conv12",
    "conv13",
    "dense",
    "head",
)
# Per pixel, see `planning.network_costs`. An image of 32² takes 12.2 ms and 3.4 MB in training, 4.1
# ms and 0.7 MB forward; of a quarter of the width, 0.8 to 1.3 ms and 0.9 MB.
COST = {"seconds": 12e-6, "bytes": (3600, 700)}
EXAMPLE = {"width": 0.1}
# Channels of the convolutions, block by block; each block ends in a pool that halves the image.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE = 512
SMALLEST = 32  # pixels of a side: each block halves it


@dataclass(frozen=True)
class Options:
    """How wide it is, and how it begins."""

    #: Factor of all channels and of the dense layer, rounded (a half to the even number), at least
    #: 1.
    width: float = 1.0
    #: Initial weights: below.
    initialization: Literal["default", "he", "glorot", "uniform"] = "glorot"
    #: Images become squares of so many pixels a side first, bilinear; by default they keep their
    #: size.
    resize: int | None = None

    def __post_init__(self):
        if not self.width > 0:
            raise ValueError(f"width must be above 0, not {self.width}")
        if self.resize is not None and self.resize < 32:
            raise ValueError(f"resize must be at least 32, not {self.resize}")

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        channels, total = shape[0], 0
        for block in BLOCKS:
            for full in block:
                width = max(1, round(full * self.width))
                # Two running statistics; a counter in int64.
                total += (9 * channels + 1) * width + 2 * width + 2
                channels = width
        places = math.prod((self.resize or side) // SMALLEST for side in shape[1:])
        dense = max(1, round(DENSE * self.width))
        total += (channels * places + 1) * dense + 2 * dense + 2
        return total + (dense + 1) * classes + 2 * classes + 2


class VGG16(nn.Module):
    """float32 images (N, C, H, W) → logits (N, K): the outputs of `head`, normalised by `norm`.

    `head` reads the penultimate features, 512 times the width.
    """

    def __init__(self, options: Options, shape: tuple[int, ...], classes: int):
        super().__init__()
        self.resize = options.resize
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, number = shape[0], 0
        for block, widths in enumerate(BLOCKS, start=1):
            for width in widths:
                number, channels_out = number + 1, _scaled(width, options.width)
                layers[f"conv{number}"] = nn.Conv2d(channels, channels_out, 3, padding=1)
                layers[f"norm{number}"] = _layers.BatchNorm2d(channels_out, affine=False)
                layers[f"relu{number}"] = nn.ReLU()
                channels = channels_out
            layers[f"pool{block}"] = nn.MaxPool2d(2)
        features = _scaled(DENSE, options.width)
        layers["flatten"] = nn.Flatten()
        layers["dense"] = nn.Linear(channels * _places(shape, options.resize), features)
        layers[f"norm{number + 1}"] = _layers.BatchNorm1d(features, affine=False)
        layers[f"relu{number + 1}"] = nn.ReLU()
        self.body = nn.Sequential(layers)
        self.head = nn.Linear(features, classes)
        self.norm = _layers.BatchNorm1d(classes, affine=False)
        _layers.initialize(self, options.initialization)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.norm(self.head(self.body(_layers.resized(images, self.resize))))


def _scaled(width: int, factor: float) -> int:
    return max(1, round(width * factor))


def _places(shape: tuple[int, ...], resize: int | None) -> int:
    """Return how many pixels the pools leave of an image; they drop what is odd of a side."""
    sides = (resize, resize) if resize else shape[1:]
    if min(sides) < SMALLEST:
        raise ConfigError(
            f"vgg16: its pools leave nothing of images of {sides[0]}×{sides[1]} pixels; it takes "
            f"{SMALLEST}×{SMALLEST} and more: set its resize"
        )
    return (sides[0] // SMALLEST) * (sides[1] // SMALLEST)


def build(options: Options, shape: tuple[int, ...], classes: int) -> VGG16:
    """Return the network for images of the given (C, H, W)."""
    return VGG16(options, shape, classes)
