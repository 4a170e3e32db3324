"""ZCA whitening of images, fitted on the training split (Bell and Sejnowski, 1997)."""

from __future__ import annotations

import torch

from cobaye.errors import ConfigError
from cobaye.splits import Normalization

# Numbers in an image: its matrix, D² float32, is fitted in O(D³) and stands in every checkpoint.
LARGEST = 4096
BLOCK = 2048


def zca_of(images: torch.Tensor, epsilon: float) -> Normalization:
    """Return x ↦ M (x / 255 − mean), M = (C + ε)^(−1/2), C the covariance of all of x's numbers.

    images: (N, C, H, W) uint8. ε holds back directions in which they hardly vary, such as pixels
    that are always black: they are scaled by at most ε^(−1/2). Everything is float64 until M is
    rounded to float32; sums of products of uint8 are exact in it, in whatever order.

    Raises ConfigError for images of more than LARGEST numbers.
    """
    shape, size = tuple(images.shape[1:]), images[0].numel()
    if size > LARGEST:
        raise ConfigError(
            f"normalize: zca: images of {'×'.join(map(str, shape))} = {size} numbers: at most "
            f"{LARGEST}, since its matrix has the square of that and stands in every checkpoint"
        )
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    for block in images.flatten(1).split(BLOCK):
        rows = block.double()
        total += rows.sum(0)
        products.addmm_(rows.T, rows)
    mean = total / len(images)
    covariance = (products / len(images)).sub_(torch.outer(mean, mean)).div_(255**2)
    variances, directions = torch.linalg.eigh(covariance)
    scales = (variances.clamp_(min=0) + epsilon).rsqrt()
    matrix = (directions * scales) @ directions.T
    return Normalization(
        mean=(mean / 255).float().view(shape),
        std=torch.ones(1, 1, 1),
        matrix=matrix.float(),
    )
