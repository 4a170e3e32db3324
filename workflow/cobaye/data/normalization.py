"""Normalisation of images, fitted on the training split: mean and deviation, or ZCA whitening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.errors import ConfigError

# The most numbers D in an image: the matrix, D² float32, takes O(D³) and is in every checkpoint.
LARGEST = 4096
BLOCK = 2048


@dataclass(frozen=True)
class Normalization:
    """x ↦ M ((x / 255 − mean) / std) for images of 0 … 255.

    mean, std: float32, (1, 1, 1), (C, 1, 1) or (C, H, W). matrix: M, float32, (D, D) over all
    D = C·H·W numbers of an image, or None for none.
    """

    mean: torch.Tensor
    std: torch.Tensor
    matrix: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 images (N, C, H, W), normalised. float32 images are written to."""
        scaled = images.float().div_(255).sub_(self.mean).div_(self.std)
        if self.matrix is None:
            return scaled
        return (scaled.flatten(1) @ self.matrix.T).view(scaled.shape)

    def to(self, device: torch.device | str) -> Normalization:
        """Return the same constants on a device."""
        matrix = None if self.matrix is None else self.matrix.to(device)
        return Normalization(self.mean.to(device), self.std.to(device), matrix)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the constants as they stand in a checkpoint."""
        constants = {"normalization.mean": self.mean, "normalization.std": self.std}
        if self.matrix is not None:
            constants["normalization.matrix"] = self.matrix
        return constants


def normalization_of(
    images: torch.Tensor, how: Literal["none", "global", "channel"]
) -> Normalization:
    """Return the normalisation by the mean and standard deviation of training images.

    images: (N, C, H, W) uint8. `none` only divides by 255. Exact: from counts of the 256 values.
    """
    channels = images.shape[1]
    if how == "none":
        return Normalization(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    counts = np.stack([np.bincount(images[:, c].flatten(), minlength=256) for c in range(channels)])
    if how == "global":
        counts = counts.sum(axis=0, keepdims=True)
    values = np.arange(256) / 255
    mean = counts @ values / counts.sum(axis=1)
    variance = counts @ values**2 / counts.sum(axis=1) - mean**2
    # A constant channel is centred only.
    std = np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 0)), 1.0)
    shape = (-1, 1, 1)
    return Normalization(
        torch.tensor(mean, dtype=torch.float32).reshape(shape),
        torch.tensor(std, dtype=torch.float32).reshape(shape),
    )


def without_normalization(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], Normalization | None]:
    """Return a checkpoint's network tensors, and the normalisation that it carries, if any."""
    weights = {name: t for name, t in tensors.items() if not name.startswith("normalization.")}
    if len(weights) == len(tensors):
        return weights, None
    return weights, Normalization(
        tensors["normalization.mean"],
        tensors["normalization.std"],
        tensors.get("normalization.matrix"),
    )


def fit_zca(images: torch.Tensor, epsilon: float) -> Normalization:
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


def fit_normalization(split: splits.Split, optimizer: recipes.Optimizer) -> Normalization | None:
    """Return the normalisation that a recipe fits to its training images; None for features."""
    if split.inputs.dtype != torch.uint8:
        return None
    if optimizer.normalize == "zca":
        return fit_zca(split.inputs, optimizer.zca_epsilon)
    return normalization_of(split.inputs, optimizer.normalize)
