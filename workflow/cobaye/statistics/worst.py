"""The classes worst off at each λ: the lowest accuracies, and the pair most confused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample


@dataclass(frozen=True)
class Pair:
    """The two classes most taken for each other: the share of both classes' images that are."""

    first: int
    second: int
    rate: float


def worst_mean(
    chooser: np.ndarray, judge: Sample, number: int, level: float = 0.95
) -> tuple[Interval, np.ndarray]:
    """Return the mean accuracy of the `number` classes worst off at each λ, and these classes.

    chooser: (K, M) accuracies that say which classes they are, NaN never; ties go to the smaller
    label. judge: the sample whose class means are averaged, each class weighing the same. The
    interval, normal, is for other images of the same classes; where chooser and judge are the same
    images it leaves out that the worst were picked for being low, and the estimate is too low.
    Returns (M,) and (M, number).
    """
    known = ~np.isnan(chooser) & ~np.isnan(judge.means)
    number = min(number, int(known.sum(axis=0).min()))
    order = np.argsort(np.where(known, chooser, np.inf), axis=0, kind="stable")[:number]
    columns = np.arange(chooser.shape[1])
    nothing = np.full(chooser.shape[1], np.nan)
    if not number:
        return Interval(nothing, nothing, nothing), order.T
    mean = judge.means[order, columns].mean(axis=0)
    counts = judge.counts[order]
    errors = judge.variances[order, columns] / counts
    reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(errors.sum(axis=0)) / number
    return Interval(mean, mean - reach, mean + reach), order.T


def worst_pair(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Pair | None:
    """Return the pair of classes with the largest share of images taken for the other of the two.

    labels, predicted: (N,), of one λ (and all seeds). The rate is (n_ab + n_ba)/(n_a + n_b); ties
    go to the smallest labels. None if no image is mistaken.
    """
    wrong = labels != predicted
    if not wrong.any():
        return None
    low = np.minimum(labels, predicted)[wrong].astype(np.int64)
    high = np.maximum(labels, predicted)[wrong].astype(np.int64)
    pairs, mistaken = np.unique(low * classes + high, return_counts=True)
    first, second = pairs // classes, pairs % classes
    counts = np.bincount(labels, minlength=classes)
    rates = mistaken / (counts[first] + counts[second])
    top = int(np.argmax(rates))
    return Pair(int(first[top]), int(second[top]), float(rates[top]))
