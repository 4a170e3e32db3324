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


def warp(images: Tensor, matrices: Tensor, fill: str) -> Tensor:
    """Return images, float32, whose pixel at p is what the given ones have at M p, bilinear.

    matrices: (B, 2, 2), M in pixels (x to the right, y down) from the centre of the image.
    """
    height, width = images.shape[2:]
    # affine_grid counts in half widths and half heights.
    unit = torch.tensor([width, height], dtype=torch.float32, device=images.device)
    theta = functional.pad(matrices * unit / unit[:, None], (0, 1))
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images.float(), grid, padding_mode=PADDING[fill], align_corners=False
    )
