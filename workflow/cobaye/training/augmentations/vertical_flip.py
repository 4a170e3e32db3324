"""Top and bottom exchanged in a random share of the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cobaye.training.augmentations import _images, _options


@dataclass(frozen=True)
class Options(_options.Flip):
    """Those of a flip."""


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return the images, some of them flipped."""
    flipped = _images.uniform(images, 0.0, 1.0, generator) < options.probability
    return _images.choose(flipped, images.flip(2), images)
