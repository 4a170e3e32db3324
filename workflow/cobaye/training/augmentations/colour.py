"""Brightness, contrast and saturation changed at random, in this order, as in ColorJitter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cobaye.errors import DataError
from cobaye.training.augmentations import _images

# Of red, green and blue in the grey that torchvision uses (ITU-R 601).
GREY = (0.2989, 0.587, 0.114)
EXAMPLE = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}


@dataclass(frozen=True)
class Options:
    """Each factor is uniform in 1 ± its option, not below 0; one option must be above 0."""

    #: Reach of the factor of brightness.
    brightness: float = 0.0
    #: Reach of the factor of contrast.
    contrast: float = 0.0
    #: Reach of the factor of saturation.
    saturation: float = 0.0

    def __post_init__(self):
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.brightness == self.contrast == self.saturation == 0:
            raise ValueError("one of brightness, contrast and saturation must be above 0")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return images of other colours, float32 in [0, 255].

    Raises DataError for saturation of images that have not three channels.
    """
    images = images.float()
    for change, most in (
        (brighten, options.brightness),
        (contrast, options.contrast),
        (saturate, options.saturation),
    ):
        if most:
            low, high = max(0.0, 1.0 - most), 1.0 + most
            images = change(images, _images.uniform(images, low, high, generator))
    return images


def brighten(images: Tensor, factors: Tensor) -> Tensor:
    """Return float32 images times `factors`, (B,)."""
    return _between(torch.zeros((), device=images.device), images, factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Return float32 images moved away from the mean of their grey by `factors`, (B,)."""
    grey = _grey(images) if images.shape[1] == 3 else images
    return _between(grey.mean((1, 2, 3), keepdim=True), images, factors)


def saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Return float32 images moved away from their grey by `factors`, (B,)."""
    if images.shape[1] != 3:
        raise DataError(f"saturation: images of {images.shape[1]} channels, not red, green, blue")
    return _between(_grey(images), images, factors)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(GREY, device=images.device).view(3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _between(zero: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """Return zero + factor · (images − zero), within 0 … 255."""
    return zero.lerp(images, factors[:, None, None, None]).clamp(0, 255)
