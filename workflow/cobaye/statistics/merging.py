"""Classes that are taken for each other, and what is left of an effect once they count as one."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample


def pair_rates(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of two classes' images that are taken for the other of the two, (K, K).

    labels, predicted: (N,), of all seeds together. The rate is (n_ab + n_ba)/(n_a + n_b), 0 on the
    diagonal and where neither class has an image.
    """
    places = labels.astype(np.int64) * classes + predicted
    taken = np.bincount(places, minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(taken, 0)
    counts = np.bincount(labels, minlength=classes)
    both = counts[:, None] + counts
    return np.divide(taken + taken.T, both, out=np.zeros(both.shape), where=both > 0)


def groups(linked: np.ndarray) -> np.ndarray:
    """Return each class's group, (K,) from 0 in the order of the labels: linked ones share it.

    linked: (K, K) bool. Links chain: of a–b and b–c, all three are one.
    """
    _, group = connected_components(sparse.csr_array(linked), directed=False)
    _, first, place = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place]


def share_left(
    before: Sample, after: Sample, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Return the variance between classes after over that before, sampling noise taken off, (M,).

    before, after: differences of the same images, a column per λ. The variances are those of
    `effects.between_classes`; the interval is a percentile bootstrap over classes, which are drawn
    with both of theirs. NaN where the variance before is not above 0, in the estimate or in a draw
    that an end needs.
    """
    kept = before.counts > 1
    number = int(kept.sum())
    terms = [_terms(each, kept) for each in (before, after)]
    weights = rng.multinomial(number, np.full(number, 1 / number), size=draws) / number
    whole = np.full((1, number), 1 / number)
    found = [[_variance(each, w, number) for each in terms] for w in (whole, weights)]
    ratios = [np.where(old > 0, new / np.where(old > 0, old, 1), np.nan) for old, new in found]
    ends = np.quantile(ratios[1], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(ratios[0][0], *ends)


def _terms(sample: Sample, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return sample.means[kept], sample.variances[kept] / sample.counts[kept, None]


def _variance(terms: tuple[np.ndarray, np.ndarray], weights: np.ndarray, number: int) -> np.ndarray:
    """Return the variance between classes, (b, M), for weights (b, K) of classes."""
    means, noise = terms
    apart = means - means.mean(axis=0)
    spread = weights @ apart**2 - (weights @ apart) ** 2
    return number / (number - 1) * spread - weights @ noise
