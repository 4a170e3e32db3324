"""What the kinds share: a draw per image, a choice per image, a linear map per image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# What lies outside an image, as torch calls it.
PADDING = {"zero": "zeros", "edge": "border", "reflect": "reflection"}


def uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return a number in [low, high) per image, (B,) float32, on the device of the images."""
    drawn = torch.rand(len(images), generator=generator)
    return drawn.mul_(high - low).add_(low).to(images.device)


def choose(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return image by image that of `yes` where `chosen` (B,) holds, else that of `no`.

    By copies of whole images, which is many times faster than a mask over their pixels.
    """
    rows = torch.arange(len(no), device=no.device) + len(no) * chosen
    return torch.cat([no, yes]).index_select(0, rows)


def warp(images: Tensor, matrices: Tensor, fill: str, shifts: Tensor | None = None) -> Tensor:
    """Return images, float32, whose pixel at p is what the given ones have at M p, bilinear.

    matrices: (B, 2, 2), M in pixels (x to the right, y down) from the centre of the image. shifts:
    (B, 2), x and y added to M p, in half widths and half heights of the image.
    """
    count, height, width = len(images), *images.shape[2:]
    # Half widths and half heights are what grid_sample counts in; pixel centres are at odd / size.
    unit = torch.tensor([width, height], dtype=torch.float32, device=images.device)
    x, y = (torch.arange(1 - n, n, 2, device=images.device) / n for n in (width, height))
    pixels = torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).flatten(1)
    # One product for all images: torch's affine_grid takes longer than the sampling.
    places = (matrices * unit / unit[:, None]).flatten(0, 1) @ pixels
    if shifts is not None:
        places += shifts.reshape(-1, 1)
    grid = places.view(count, 2, height, width).permute(0, 2, 3, 1)
    return functional.grid_sample(
        images.float(), grid, padding_mode=PADDING[fill], align_corners=False
    )
