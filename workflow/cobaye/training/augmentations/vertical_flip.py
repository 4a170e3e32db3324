"""Top and bottom exchanged in a random share of the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cobaye.training.augmentations import _images


@dataclass(frozen=True)
class Options:
    """probability: of each image."""

    probability: float = 0.5

    def __post_init__(self):
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be in [0, 1], not {self.probability}")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return the images, some of them flipped."""
    flipped = _images.uniform(images, 0.0, 1.0, generator) < options.probability
    return _images.choose(flipped, images.flip(2), images)
