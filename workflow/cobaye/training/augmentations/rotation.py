"""A rotation about the centre by a random angle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cobaye.training.augmentations import _images


@dataclass(frozen=True)
class Options:
    """The angles, and the border."""

    #: Largest angle, either way.
    degrees: float = 15.0
    #: What shows outside the image: `zero` (black), `edge` or `reflect`.
    fill: Literal["zero", "edge", "reflect"] = "zero"

    def __post_init__(self):
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees must be in [0, 180], not {self.degrees}")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return images turned by angles uniform in ±degrees, bilinear, float32."""
    angles = _images.uniform(images, -options.degrees, options.degrees, generator)
    return rotate(images, angles, options.fill)


def rotate(images: Tensor, degrees: Tensor, fill: str) -> Tensor:
    """Return images turned counter-clockwise by `degrees`, (B,) float32."""
    cosine, sine = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    matrices = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    return _images.warp(images, matrices, fill)
