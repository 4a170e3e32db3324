"""A random crop of the image's own size from the image with a border (He et al., 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from cobaye.errors import ConfigError

PADDING = {"zero": "constant", "edge": "replicate", "reflect": "reflect"}


@dataclass(frozen=True)
class Options:
    """The border."""

    #: Width of the border, pixels.
    padding: int = 4
    #: What shows outside the image: `zero` (black), `edge` or `reflect`.
    fill: Literal["zero", "edge", "reflect"] = "zero"

    def __post_init__(self):
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0, not {self.padding}")


def augment(images: Tensor, options: Options, generator: torch.Generator) -> Tensor:
    """Return crops whose corners are uniform over all (2·padding + 1)² places."""
    places = torch.randint(2 * options.padding + 1, (2, len(images)), generator=generator)
    return crop(images, places.to(images.device), options.padding, options.fill)


def crop(images: Tensor, places: Tensor, padding: int, fill: str) -> Tensor:
    """Return crops (B, C, H, W) of images with a border.

    places: (2, B) int64, the row and column of each crop's first pixel in its bordered image.
    """
    if fill == "reflect" and padding >= min(images.shape[2:]):
        raise ConfigError(
            f"augment: crop: padding: {padding}: fill: reflect shows an image again, so its border "
            f"must be narrower than the images, of {images.shape[2]}×{images.shape[3]} pixels"
        )
    bordered = functional.pad(images, (padding,) * 4, mode=PADDING[fill]).contiguous()
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device)
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1)
    top, left = places[:, :, None, None]
    starts = (planes * bordered.shape[2] + top + rows) * bordered.shape[3] + left
    # Every run of `width` pixels of the flat borders as a row, without a copy: crops are then made
    # of copies of whole rows, which is many times faster than pixel by pixel.
    runs = bordered.as_strided((bordered.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, starts.flatten()).view(images.shape)
