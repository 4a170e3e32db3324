"""Classifiers beside a reference one, on the same images: means and worst-class figures, paired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample

MEASURES = ("loss", "accuracy", "lowest", "tenth")


@dataclass(frozen=True)
class Compared:
    """By measure. values: (M,). differences: from column 0, with their intervals, (M,).

    errors: the standard errors of the differences. loss, accuracy: means over images. lowest: the
    lowest accuracy of a class. tenth: the mean over the tenth of the classes whose accuracies are
    lowest, each weighing the same; whichever classes these are for each classifier.
    """

    values: dict[str, np.ndarray]
    differences: dict[str, Interval]
    errors: dict[str, np.ndarray]

    def p_values(self, measure: str) -> np.ndarray:
        """Return the two-sided p-value of "no difference", (M,), normal; NaN of column 0."""
        errors = np.where(self.errors[measure] > 0, self.errors[measure], np.nan)
        return 2 * stats.norm.sf(np.abs(self.differences[measure].estimate) / errors)


def compare(
    losses: Sample, correct: Sample, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Compared:
    """Compare classifiers, a column each, with that of column 0.

    losses, correct: of the same images in the same order; the latter 0 or 1, or shares of seeds.
    The intervals are normal, for these classifiers on other images of these classes. Their errors
    come from a bootstrap of each class's images; an image keeps all its values. A bootstrap of n
    images is too narrow by √((n − 1)/n); errors are divided by that, n being the mean of classes.
    """
    width = losses.values.shape[1]
    both = losses.with_values(np.hstack((losses.values, correct.values)))
    values = _measures(both.means[None], both.counts, width)
    drawn = [_measures(means, both.counts, width) for means in both.resampled(draws, rng)]
    size = both.counts[both.counts > 0].mean()
    stretch = np.sqrt(size / (size - 1)) if size > 1 else np.nan
    reach = stats.norm.ppf((1 + level) / 2)
    differences, errors = {}, {}
    for measure in MEASURES:
        all_drawn = np.concatenate([block[measure] for block in drawn])
        error = stretch * (all_drawn - all_drawn[:, :1]).std(axis=0, ddof=1)
        difference = values[measure][0] - values[measure][0, 0]
        ends = difference - reach * error, difference + reach * error
        differences[measure], errors[measure] = Interval(difference, *ends), error
    return Compared({name: row[0] for name, row in values.items()}, differences, errors)


def over_classes(values: Sample, level: float = 0.95) -> Interval:
    """Return the difference of each column's mean over images from column 0's, (M,).

    The interval is for classes drawn anew, with their images: t, K − 1 degrees of freedom. The
    mean is a ratio of sums over classes, Σ n d̄ / Σ n, and its error is that of the ratio
    (Cochran, Sampling Techniques, 1977, section 6.4). NaN below two classes.
    """
    known = values.counts > 0
    number, counts = int(known.sum()), values.counts[known][:, None]
    own = values.relative_to(0).means[known]
    mean = (counts * own).sum(axis=0) / counts.sum()
    if number < 2:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    squares = ((counts * (own - mean)) ** 2).sum(axis=0)
    error = np.sqrt(number / (number - 1) * squares) / counts.sum()
    reach = stats.t.ppf((1 + level) / 2, number - 1) * error
    return Interval(mean, mean - reach, mean + reach)


def _measures(means: np.ndarray, counts: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Return each measure, (b, M), of class means (b, K, 2 M): losses, then accuracies."""
    known = counts > 0
    means, share = means[:, known], counts[known] / counts.sum()
    accuracies = means[:, :, width:]
    overall = np.einsum("bkm,k->bm", means, share)
    worst = -(-int(known.sum()) // 10)
    return {
        "loss": overall[:, :width],
        "accuracy": overall[:, width:],
        "lowest": accuracies.min(axis=1),
        "tenth": np.partition(accuracies, worst - 1, axis=1)[:, :worst].mean(axis=1),
    }
