"""Similarity of two layers on the same images: SVCCA (S2.18).

Singular vector canonical correlation analysis (Raghu et al., 2017): of each layer, centred, the
directions in image space that hold 99 % of its variance; the canonical correlations of two layers
are the singular values of the product of their orthonormal bases, and their similarity is the mean.

It is 1 for layers that are linear maps of each other, but also for any two layers whose directions
together outnumber the images. `by_chance` is its value by chance; few directions keep that low.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cobaye.objective import matmul

# Neurons at a time.
BLOCK = 4096


def directions(activations: Tensor, share: float = 0.99, most: int | None = None) -> Tensor:
    """Return the fewest orthonormal directions that hold a share of the variance, (N, k) float64.

    activations: (N, n). most: no more directions than these. k = 0 of a layer without variance.
    They are eigenvectors of the Gram matrix, (N, N), or come from those of the covariance, (n, n),
    whichever is smaller.
    """
    images, neurons = activations.shape
    if neurons < images:
        centred = activations.double() - activations.double().mean(dim=0)
        values, vectors = torch.linalg.eigh(centred.T @ centred)
    else:
        values, vectors = torch.linalg.eigh(_gram(activations))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if not values[0] > 0:
        return vectors.new_zeros(images, 0)
    held = values.cumsum(dim=0) / values.sum()
    kept = min(int((held < share).sum()) + 1, most or len(values))
    if neurons < images:
        return centred @ vectors[:, :kept] / values[:kept].sqrt()
    return vectors[:, :kept].clone()  # not a view that holds them all


def _gram(activations: Tensor) -> Tensor:
    """Return X Xᵀ of the centred activations, summed in float64."""
    product = matmul.product(activations.device, activations.dtype)
    gram = activations.new_zeros(len(activations), len(activations), dtype=torch.float64)
    for block in activations.split(BLOCK, dim=1):
        # In float64, so that a constant neuron's mean is exactly what it is.
        centred = (block.double() - block.double().mean(dim=0)).to(block.dtype)
        gram += product(centred, centred)
    return gram


def svcca(one: Tensor, other: Tensor) -> float:
    """Return the mean canonical correlation of two bases (N, k), (N, l); NaN if one is empty.

    Of min(k, l) correlations.
    """
    if not (one.shape[1] and other.shape[1]):
        return float("nan")
    return torch.linalg.svdvals(one.T @ other).clamp(max=1).mean().item()


def by_chance(one: Tensor, other: Tensor, seed: int) -> float:
    """Return what `svcca` gives when the images of one layer are permuted, drawn from a seed."""
    order = torch.randperm(len(one), generator=torch.Generator().manual_seed(seed))
    return svcca(one[order.to(one.device)], other)
