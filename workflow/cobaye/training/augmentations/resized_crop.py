"""A random square share of an image, enlarged to the image's size (Szegedy et al., 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cobaye.training.augmentations import _images


@dataclass(frozen=True)
class Options:
    """The least share. Unlike torchvision's `RandomResizedCrop`, the aspect ratio stays."""

    #: Smallest share of the image's area, above 0; 1: the image as it is.
    scale: float = 0.08

    def __post_init__(self):
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale must be in (0, 1], not {self.scale}")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return crops, bilinear, float32: areas uniform in [scale, 1), places in the image."""
    sides = _images.uniform(images, options.scale, 1.0, generator).sqrt()
    across, down = (_images.uniform(images, -1.0, 1.0, generator) for _ in range(2))
    return crop(images, sides, torch.stack([across, down], dim=1))


def crop(images: Tensor, sides: Tensor, places: Tensor) -> Tensor:
    """Return shares of images. sides: (B,) float32, of the crop, 1: the image's.

    places: (B, 2) float32, x and y from −1 (left, top) to 1: where the crop is.
    """
    matrices = sides[:, None, None] * torch.eye(2, device=images.device)
    return _images.warp(images, matrices, "edge", places * (1 - sides)[:, None])
