"""The ConvNet of the course (S1.2): three 5×5 convolutions, each halved, and two linear layers."""

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
PARTS = ("body", "conv1", "conv2", "conv3", "fc", "head")

# Channels and padding of each convolution; the first keeps the image's size.
CONVOLUTIONS = ((32, 2), (64, 0), (64, 0))
HIDDEN = 1000
SMALLEST = 32  # pixels of a side


@dataclass(frozen=True)
class Options:
    """What stands between the layers, and the initial weights."""

    #: Share of the 1,000 values before the head set to zero in training.
    dropout: float = 0.0
    #: Batch norm after each convolution, before its ReLU.
    batch_norm: bool = False
    #: Initial weights: below.
    initialization: Literal["default", "he", "glorot", "uniform"] = "default"
    #: Images become squares of so many pixels a side first, bilinear; by default they keep their
    #: size.
    resize: int | None = None

    def __post_init__(self):
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")
        if self.resize is not None and self.resize < 32:
            raise ValueError(f"resize must be at least 32, not {self.resize}")

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        channels, *sides = shape
        sides, total = [self.resize or side for side in sides], 0
        for width, padding in CONVOLUTIONS:
            # Scale, shift and two running statistics; a counter in int64.
            total += (25 * channels + 1) * width + self.batch_norm * (4 * width + 2)
            channels, sides = width, [(side + 2 * padding - 4) // 2 for side in sides]
        return total + (channels * math.prod(sides) + 1) * HIDDEN + (HIDDEN + 1) * classes


class ConvNet(nn.Module):
    """float32 images (N, C, H, W) → logits (N, K); `head` reads the 1,000 penultimate values."""

    def __init__(self, options: Options, shape: tuple[int, ...], classes: int):
        super().__init__()
        self.resize = options.resize
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = shape[0]
        for i, (width, padding) in enumerate(CONVOLUTIONS, start=1):
            layers[f"conv{i}"] = nn.Conv2d(channels, width, 5, padding=padding)
            if options.batch_norm:
                layers[f"norm{i}"] = _layers.BatchNorm2d(width)
            layers[f"relu{i}"] = nn.ReLU()
            layers[f"pool{i}"] = nn.MaxPool2d(2)
            channels = width
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(_flat_size(shape, options.resize), HIDDEN)
        layers["relu4"] = nn.ReLU()
        if options.dropout:
            layers["dropout"] = nn.Dropout(options.dropout)
        self.body = nn.Sequential(layers)
        self.head = nn.Linear(HIDDEN, classes)
        _layers.initialize(self, options.initialization)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.body(_layers.resized(images, self.resize)))


def _flat_size(shape: tuple[int, ...], resize: int | None) -> int:
    """Return how many values the convolutions leave of an image."""
    sides = (resize, resize) if resize else shape[1:]
    if min(sides) < SMALLEST:
        raise ConfigError(
            f"convnet: its convolutions leave nothing of images of {sides[0]}×{sides[1]} pixels; "
            f"it takes {SMALLEST}×{SMALLEST} and more: set its resize"
        )
    channels = CONVOLUTIONS[-1][0]
    for _, padding in CONVOLUTIONS:
        sides = tuple((side + 2 * padding - 4) // 2 for side in sides)
    return channels * sides[0] * sides[1]


def build(options: Options, shape: tuple[int, ...], classes: int) -> ConvNet:
    """Return the network for images of the given (C, H, W)."""
    return ConvNet(options, shape, classes)
