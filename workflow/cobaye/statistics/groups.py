"""One λ for each group of classes: the groups, and the λ of each.

Arrays hold class means on val, (B, K, M): draws, classes, and a column per λ in order of rising λ.
A choice is the column of each class's λ, (B, K). Two sorts of groups, and a λ for each sort:

- known beforehand, such as by training loss or by confusions: a group's curve is shrunk towards
  those of the other groups, as `shrinkage` does with classes, and its λ is the lowest point. With
  one group that is the best λ overall, with a group per class the `shrunk` choice.
- found from the curves themselves. Their λ must not come from the same means: classes with lucky
  images would stand together, and the same luck would choose their λ. Shrunk curves allow for that
  noise, and stay right however classes are picked by them.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster import hierarchy

from cobaye.statistics import noise
from cobaye.statistics.choices import Procedure, World, shrunk_curves
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import Sample
from cobaye.statistics.shrinkage import Moments, moments_of


def numbers(classes: int) -> list[int]:
    """Return the numbers of groups that are tried: 1, 2, 4, … and the number of classes."""
    return [*(2**power for power in range(classes.bit_length()) if 2**power < classes), classes]


def blocks(order: np.ndarray, number: int) -> np.ndarray:
    """Return each class's group, (K,), in sizes that differ by one at most.

    order: the classes, (K,), those that are alike beside each other.
    """
    group = np.empty(len(order), dtype=int)
    group[order] = np.arange(len(order)) * number // len(order)
    return group


def by_confusion(confusion: np.ndarray) -> np.ndarray:
    """Return the classes in an order that keeps those beside each other that are mistaken.

    confusion: (K, K), how many images of a class (row) are given another (column). The leaves of
    the tree of average linkage, two classes being as far apart as 1 less the mean of their two
    rates of mistakes for each other.
    """
    rates = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distances = 1 - (rates + rates.T) / 2
    apart = distances[np.triu_indices(len(rates), 1)]
    return hierarchy.leaves_list(hierarchy.linkage(apart, "average"))


def by_groups(val: Sample, group: np.ndarray, reference: int) -> Procedure:
    """Return the choice of one λ for each of the groups that each class is in, (K,) from 0.

    val: losses of all classes, each with images. In a draw that leaves out a whole group, the group
    counts nowhere.
    """
    member = np.eye(group.max() + 1)[group]
    differences = val.relative_to(reference)
    inner = differences.with_values(np.delete(differences.values, reference, axis=1))
    sizes = (val.counts @ member).astype(int)
    covariances = noise.sampling(inner)
    image = noise.pooled(covariances, val.counts, np.ones((1, len(group))))[1]
    covariances = np.where(np.isnan(covariances), image, covariances)
    squares = covariances * (val.counts**2)[:, None, None]
    pooled = np.tensordot(member, squares, (0, 0)) / (sizes**2)[:, None, None]
    fixed = Moments(np.empty(0), pooled, sizes)

    def choose(world: World) -> np.ndarray:
        means, _, weights = world
        images = weights * val.counts
        total = images @ member
        sums = member.T @ (means * images[:, :, None])
        common = sums.sum(axis=1, keepdims=True) / total.sum(axis=1)[:, None, None]
        known = total[:, :, None] > 0
        curves = np.where(known, sums / np.where(known, total[:, :, None], 1), common)
        share = weights @ member / member.sum(axis=0)
        share *= share.shape[1] / share.sum(axis=1, keepdims=True)
        return lowest(shrunk_curves(fixed, reference, curves, share))[:, group]

    return choose


def by_curves(val: Sample, reference: int, number: int) -> Procedure:
    """Return the choice of `number` λ, each class taking that of the lowest point of its curve.

    Curves are shrunk. The λ are those that are left when the one whose loss costs least, over all
    images, is dropped again and again. One λ is the best overall.
    """
    fixed = moments_of(val.relative_to(reference), reference)

    def choose(world: World) -> np.ndarray:
        means, _, weights = world
        images = weights * val.counts
        if number == 1:
            best = lowest(np.einsum("bkm,bk->bm", means, images))
            return np.repeat(best[:, None], means.shape[1], axis=1)
        return _eliminated(shrunk_curves(fixed, reference, means, weights), images, number)

    return choose


def _eliminated(curves: np.ndarray, images: np.ndarray, number: int) -> np.ndarray:
    """Return the lowest of the `number` columns that are left, (B, K)."""
    curves = curves.copy()
    draws, _, width = curves.shape
    rows = np.arange(draws)
    for _ in range(width - number):
        first = lowest(curves)
        least = np.partition(curves, 1, axis=2)[:, :, :2]
        rises = images * (least[:, :, 1] - least[:, :, 0])
        places = (rows[:, None] * width + first).ravel()
        cost = np.bincount(places, rises.ravel(), draws * width).reshape(draws, width)
        cost[np.isinf(curves[:, 0])] = np.inf
        curves[rows, :, cost.argmin(axis=1)] = np.inf
    return lowest(curves)
