"""A residual network for images of about 32 pixels that learns in a minute on two cores.

A convolution that halves the image at once, residual stages of which each halves it again, a 1×1
convolution to the penultimate features, their mean over the image. After He et al. (2016), with
widths that are multiples of 16 and the channels last, which is what is fast on a processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cobaye.models.networks import _layers

# What it is trained on; others take features as well.
INPUT = "images"
# What a study may name to be trained alone, or not to be taken from other weights.
PARTS = ("body", "head")
# Seconds of one core per pixel in training: glyphs-backbone takes 35 to 65 s on two cores for
# 10 × 12,000 × 32².
COST = {"seconds": 0.6e-6}


@dataclass(frozen=True)
class Options:
    """Channels, blocks, and the size of the penultimate features."""

    #: Channels of the first convolution.
    stem: int = 32
    #: Channels of each stage, each at least 1.
    widths: tuple[int, ...] = (64, 128)
    #: Residual blocks per stage.
    blocks: int = 1
    #: Number of penultimate features.
    features: int = 256
    #: Factor of the features, which are means over the image.
    feature_scale: float = 5.0

    def __post_init__(self):
        if min(self.stem, *self.widths, self.blocks, self.features) < 1:
            raise ValueError("stem, widths, blocks and features must be at least 1")
        if self.feature_scale <= 0:
            raise ValueError(f"feature_scale must be above 0, not {self.feature_scale}")

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        # Of a batch norm: scale, shift and two running statistics; a counter in int64.
        total, channels = 9 * shape[0] * self.stem + 4 * self.stem + 2, self.stem
        for width in self.widths:
            first = 10 * channels * width + 9 * width**2 + 3 * (4 * width + 2)
            total += first + (self.blocks - 1) * (18 * width**2 + 2 * (4 * width + 2))
            channels = width
        features = self.features
        return total + channels * features + 2 * features + 2 + (features + 1) * classes


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, (N, C, H, W) → (N, width, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = convolution(channels, width, 3, stride)
        self.conv2 = convolution(width, width, 3)
        same = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same else convolution(channels, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(convolutions(x) + shortcut(x))."""
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x))


class ResNetSmall(nn.Module):
    """float32 images (N, C, H, W) → logits (N, classes); `head` reads the penultimate features.

    The features' size is fixed: their batch norm has no scale and no shift, so no training shrinks
    them. At the default scale their length is about 35; a last layer trained on them for 90 epochs
    at the learning rate 0.1 is stable, and over-fits where λ is small.
    """

    def __init__(self, options: Options, channels: int, classes: int):
        super().__init__()
        layers = [convolution(channels, options.stem, 3, stride=2), nn.ReLU()]
        channels = options.stem
        for width in options.widths:
            for block in range(options.blocks):
                layers.append(ResidualBlock(channels, width, stride=1 if block else 2))
                channels = width
        layers += [convolution(channels, options.features, 1, affine=False), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.feature_scale = options.feature_scale
        self.head = nn.Linear(options.features, classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.feature_scale * self.body(x).mean((2, 3)))


def build(options: Options, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for images of the given (C, H, W)."""
    return ResNetSmall(options, shape[0], classes)


def convolution(
    channels: int, width: int, kernel: int, stride: int = 1, affine: bool = True
) -> nn.Sequential:
    """Return a convolution that keeps the size (but for its stride), batch-normalised."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
        _layers.BatchNorm2d(width, affine=affine),
    )
