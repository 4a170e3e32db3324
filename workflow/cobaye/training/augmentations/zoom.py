"""An enlargement or reduction about the centre by a random factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cobaye.training.augmentations import _images


@dataclass(frozen=True)
class Options:
    """The factors, and the border."""

    #: Smallest factor, above 0; above 1 enlarges.
    low: float = 0.9
    #: Largest factor, at least `low`.
    high: float = 1.1
    #: What shows outside the image: `zero` (black), `edge` or `reflect`.
    fill: Literal["zero", "edge", "reflect"] = "zero"

    def __post_init__(self):
        if not 0 < self.low <= self.high:
            raise ValueError(f"low and high must be 0 < low ≤ high, not {self.low}, {self.high}")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return images scaled by factors uniform in [low, high), bilinear, float32."""
    factors = _images.uniform(images, options.low, options.high, generator)
    return zoom(images, factors, options.fill)


def zoom(images: Tensor, factors: Tensor, fill: str) -> Tensor:
    """Return images enlarged by `factors`, (B,) float32, in both directions."""
    matrices = torch.eye(2, device=images.device) / factors[:, None, None]
    return _images.warp(images, matrices, fill)
