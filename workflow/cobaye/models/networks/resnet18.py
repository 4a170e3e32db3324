"""torchvision's ResNet-18 for images of one channel or three, of any size (S3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torchvision import models

from cobaye.errors import ConfigError
from cobaye.models.networks import _layers
from cobaye.models.networks.torchvision import Classifier

# It takes images only; networks without this take features too.
INPUT = "images"
# Modules that a study may name under `train_only` or `fresh`.
PARTS = ("body", "conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "head")
# Numbers behind the first convolution and before the last layer, running statistics among them.
BETWEEN = 11_176_744


@dataclass(frozen=True)
class Options:
    """The images that it takes, and its first layers."""

    #: Channels of the first convolution; by default as many as the images have. 3 repeats grey
    #: images.
    channels: Literal[1, 3] | None = None
    #: Images become squares of so many pixels a side first, bilinear; by default they keep their
    #: size.
    resize: int | None = None
    #: `imagenet`: a 7×7 convolution of stride 2 and a pool. `small`: 3×3 of stride 1 without a
    #: pool.
    stem: Literal["imagenet", "small"] = "imagenet"

    def __post_init__(self):
        if self.resize is not None and self.resize < 1:
            raise ValueError(f"resize must be at least 1, not {self.resize}")

    def numbers(self, shape: tuple[int, ...], classes: int) -> int:
        """Return how many float32 a checkpoint has room for."""
        kernel = 9 if self.stem == "small" else 49
        return BETWEEN + 64 * kernel * (self.channels or shape[0]) + 513 * classes


class ResNet18(Classifier):
    """float32 images (N, C, H, W) → logits (N, K); `body` is torchvision's network, less its fc."""

    def __init__(self, options: Options, channels: int, classes: int):
        network = models.resnet18(num_classes=classes, norm_layer=_layers.BatchNorm2d)
        if options.stem == "small":
            network.conv1 = _convolution(channels, 3, 1)
            network.maxpool = nn.Identity()
        elif channels != 3:
            network.conv1 = _convolution(channels, 7, 2)
        super().__init__(network, "fc")
        self.channels, self.resize = channels, options.resize

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        images = _layers.resized(images, self.resize)
        return super().forward(images.expand(-1, self.channels, -1, -1))


def _convolution(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    """Return a first convolution, its weights drawn as torchvision draws them."""
    layer = nn.Conv2d(channels, 64, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def build(options: Options, shape: tuple[int, ...], classes: int) -> ResNet18:
    """Return the network for images of the given (C, H, W)."""
    channels = options.channels or shape[0]
    if channels not in (shape[0], 3 if shape[0] == 1 else shape[0]):
        raise ConfigError(f"resnet18: channels: {channels}, but the images have {shape[0]}")
    return ResNet18(options, channels, classes)
