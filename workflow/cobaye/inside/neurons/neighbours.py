"""Clusters of one neuron's inputs: those that activate it, and those that do not (S2.16, S2.17).

A neuron's inputs are vectors x, one per image, and its weights w say how much each number counts:

    euclidean   d(x, y)² = Σ (|w| (x − y))²
    cosine      d(x, y) = 1 − Σ |w| x y / √(Σ |w| x² · Σ |w| y²); 1 where a vector is zero

The silhouette coefficient (Rousseeuw, 1987) of an active point within a neighbourhood: a, its mean
distance to the other active points, b, that to the inactive ones, s = (b − a) / max(a, b), 0 if
both are 0. The neighbourhood of share r is the ⌊rN⌉ nearest points, the point itself, at distance
0, among them; so share 1 is the whole sample, and s what scikit-learn's ``silhouette_samples``
gives. A point whose neighbours are all active or all inactive has none.

Centres are the active points of the smallest mean distance to the other active ones. Ties go to
the earlier image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cobaye.objective import matmul

Metric = Literal["euclidean", "cosine"]


@dataclass(frozen=True)
class Neighbourhoods:
    """All points in the order of their distance from some centres, the most central first.

    distances: (c, N) float64, ascending; the first is the centre's own, 0. active: (c, N) bool,
    which of them activate the neuron. population: how many points do.
    """

    distances: Tensor
    active: Tensor
    population: int


def share(fraction: float, whole: int) -> int:
    """Return the number of points in a share of them: rounded, at least one."""
    return max(1, round(fraction * whole))


def neighbourhoods(
    inputs: Tensor, weights: Tensor, active: Tensor, metric: Metric, centres: float
) -> Neighbourhoods | None:
    """Return the points around the most central share `centres` of the active points.

    inputs: (N, d); weights: (d,), of the same floating dtype; active: (N,) bool. None of a neuron
    that is always or never active. Of n active points it costs n²·d products in the euclidean
    metric, n·d in the cosine one, and N·d more for each centre.
    """
    population = int(active.sum())
    if population in (0, len(active)):
        return None
    points, active_points = _scaled(inputs, weights.abs(), metric), active.nonzero()[:, 0]
    central = _remoteness(points[active_points], metric).argsort(stable=True)
    active_points = active_points[central[: share(centres, population)]]
    return Neighbourhoods(
        *_sorted(_distances(points[active_points], points, metric), active, active_points),
        population,
    )


def _scaled(inputs: Tensor, weights: Tensor, metric: Metric) -> Tensor:
    """Return vectors whose plain differences or products are the weighted ones of the inputs."""
    if metric == "euclidean":
        # Centred: the squares below are then of the size of the distances.
        return (inputs - inputs.mean(dim=0)) * weights
    rows = inputs * weights.sqrt()
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1)


def _distances(rows: Tensor, points: Tensor, metric: Metric) -> Tensor:
    product = matmul.product(points.device, points.dtype)
    products = product(_padded(rows), _padded(points))[: len(rows), : len(points)]
    if metric == "cosine":
        return (1 - products).clamp_(min=0)
    squares = points.square().sum(dim=1)
    of_rows = rows.square().sum(dim=1)[:, None]
    return products.mul_(-2).add_(of_rows).add_(squares).clamp_(min=0).sqrt_()


def _remoteness(points: Tensor, metric: Metric) -> Tensor:
    """Return the sum of each point's distances to the others, (n,)."""
    if metric == "cosine":
        products = points @ points.sum(dim=0) - points.square().sum(dim=1)
        return len(points) - 1 - products
    return _distances(points, points, metric).fill_diagonal_(0).sum(dim=1, dtype=torch.float64)


def _sorted(distances: Tensor, active: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances from centres (c,), ascending from their own, and who is active there."""
    rows = torch.arange(len(centres), device=centres.device)
    if distances.device.type == "cpu" and distances.dtype == torch.float32:
        # One integer per point: distance (the bits of a float ≥ 0 are in its order), image, active.
        # Their sort takes a twentieth of the time of torch's.
        keys = distances.abs().numpy().view(np.uint32).astype(np.uint64) << np.uint64(32)
        keys |= (2 * np.arange(1, len(active) + 1) + active.numpy()).astype(np.uint64)
        keys[rows.numpy(), centres.numpy()] = 1
        keys.sort(axis=1)
        distances = (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)
        own_kind = (keys & np.uint64(1)).astype(bool)
        return torch.from_numpy(distances).double(), torch.from_numpy(own_kind)
    distances[rows, centres] = -1  # before any other point at distance 0
    distances, order = distances.double().sort(dim=1, stable=True)
    distances[:, 0] = 0
    return distances, active[order]


def _padded(rows: Tensor) -> Tensor:
    """Return rows and zeros up to a multiple of 64: oneDNN keeps code for each shape it meets."""
    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % 64))


def silhouettes(around: Neighbourhoods, centres: float, sizes: Tensor) -> Tensor:
    """Return the mean silhouette coefficient of centres within neighbourhoods of each size.

    centres: share of the active points, at most that of `around`. sizes: (s,) int64 in 1 … N,
    numbers of points, the centre among them. (s,) float64, NaN where no centre has a coefficient.
    All sizes come from one pass: sums of the nearest, cumulated.
    """
    distances, is_active = _first(around, centres)
    others, at = is_active.cumsum(dim=1) - 1, sizes.to(is_active.device) - 1
    n_active = others[:, at]
    n_inactive = at - n_active
    a = (distances * is_active).cumsum(dim=1)[:, at] / n_active.clamp(min=1)
    b = (distances * ~is_active).cumsum(dim=1)[:, at] / n_inactive.clamp(min=1)
    largest = torch.maximum(a, b)
    values = torch.where(largest > 0, (b - a) / torch.where(largest > 0, largest, 1), 0)
    mixed = (n_active > 0) & (n_inactive > 0)
    return (values * mixed).sum(dim=0) / torch.where(mixed.any(dim=0), mixed.sum(dim=0), torch.nan)


def active_around(around: Neighbourhoods, centres: float, size: int) -> float:
    """Return the share of active points among the neighbours of centres, the mean over these.

    centres: as for `silhouettes`. size: points of a neighbourhood, the centre, not counted, among
    them: at least 2.
    """
    _, is_active = _first(around, centres)
    return is_active[:, 1:size].double().mean().item()


def _first(around: Neighbourhoods, centres: float) -> tuple[Tensor, Tensor]:
    number = share(centres, around.population)
    if number > len(around.distances):
        raise ValueError(f"there are {len(around.distances)} centres, not {number}")
    return around.distances[:number], around.active[:number]
