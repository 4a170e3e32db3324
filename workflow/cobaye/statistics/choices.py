"""A λ for each class: how often noise alone would choose otherwise, and what choosing gains.

Samples hold losses, a column per λ in order of rising λ (ties go to the larger). A gain is the loss
at the overall best λ less the loss at the chosen one: positive where choosing helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cobaye.statistics.effects import Interval
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import BLOCK, Sample
from cobaye.statistics.shrinkage import Shrunk


@dataclass(frozen=True)
class Null:
    """The number of classes best at each λ, and what noise alone would make of that number.

    observed: (M,) counts. expected: their means over the draws, and a band that holds `level` of
    the draws at each λ. gain: mean over images of what each class's own lowest loss seems to gain.
    classes: how many have the two images it takes.
    """

    observed: np.ndarray
    expected: Interval
    gain: Interval
    classes: int


def null_counts(
    sample: Sample, reference: int, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Null:
    """Return what the counts would be if all classes had one common curve over λ.

    The common curve m is the mean of the class means (each class weighing the same). Each class's
    images are centred on it, keeping their own spread: x_i − m_c + m, stretched about m by
    √(n/(n − 1)) as a bootstrap of n images is too narrow by as much. A draw resamples each class's
    images with replacement, an image keeping its losses at all λ together, and finds the lowest of
    each class's means. Only differences between λ matter: a class's mean level cancels.
    """
    enough = sample.counts > 1
    width = sample.values.shape[1]
    if not enough.any():
        nothing = Interval(*(np.full(width, np.nan) for _ in range(3)))
        one = Interval(*(np.array(np.nan) for _ in range(3)))
        return Null(np.zeros(width), nothing, one, 0)
    kept = Sample(sample.values[enough[sample.labels]], sample.counts[enough])
    common = kept.means.mean(axis=0)
    stretch = np.sqrt(kept.counts / (kept.counts - 1))[kept.labels, None]
    null = kept.with_values(common + stretch * (kept.values - kept.means[kept.labels]))
    share = kept.counts / kept.counts.sum()
    counts, gains = [], []
    for means in null.resampled(draws, rng):
        counts.append(_counted(lowest(means), width))
        gains.append((means[:, :, reference] - means.min(axis=2)) @ share)
    counts, gains = np.concatenate(counts), np.concatenate(gains)
    levels = [(1 - level) / 2, (1 + level) / 2]
    return Null(
        observed=np.bincount(lowest(kept.means), minlength=width),
        expected=Interval(counts.mean(axis=0), *np.quantile(counts, levels, axis=0)),
        gain=Interval(gains.mean(), *np.quantile(gains, levels)),
        classes=int(enough.sum()),
    )


def _counted(chosen: np.ndarray, width: int) -> np.ndarray:
    """Return how often each of `width` places stands in each row of (B, K), as (B, width)."""
    rows = np.arange(len(chosen))[:, None] * width
    return np.bincount((rows + chosen).ravel(), minlength=len(chosen) * width).reshape(-1, width)


def chosen_per_class(means: np.ndarray, reference: int) -> np.ndarray:
    """Return the λ of each class's lowest mean, (…, K); a class without images: the reference."""
    best = lowest(means)
    return np.where(best < 0, reference, best)


def class_gains(sample: Sample, reference: int, chosen: np.ndarray) -> Sample:
    """Return each image's gain, (N, 1): value at the reference less that at its class's choice."""
    rows = np.arange(len(sample.values))
    at_chosen = sample.values[rows, chosen[sample.labels]]
    return sample.with_values((sample.values[:, reference] - at_chosen)[:, None])


def gain(sample: Sample, reference: int, chosen: np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean gain over all images, and its interval over other images of these classes.

    The choices stand: they came from elsewhere. Paired by image, and within classes: the error is
    √(Σ n_c s_c²)/N, the interval normal. Classes of one image count with the mean variance of the
    others.
    """
    gains = class_gains(sample, reference, chosen)
    variances = gains.variances[:, 0]
    known = ~np.isnan(variances)
    pooled = variances[known].mean() if known.any() else np.nan
    variances = np.where(known, variances, pooled)
    total = len(gains.values)
    error = np.sqrt((sample.counts * np.where(sample.counts > 0, variances, 0)).sum()) / total
    reach = stats.norm.ppf((1 + level) / 2) * error
    mean = gains.values.mean()
    return Interval(mean, mean - reach, mean + reach)


def procedure_errors(
    val: Sample, test: Sample, shrunk: Shrunk, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return the standard errors of the mean gain when the choices are made anew.

    Bootstrap, paired by image, within classes: draws of val and of test, on each of which the
    overall best λ and each class's are chosen and judged. Keys: ``naive`` (chosen and judged on
    test, the overall best on val), ``honest`` (chosen on val, judged on test), ``shrunk`` (by the
    lowest of the shrunk curve of val, its μ, T and S held: a fit per draw would take too long).
    """
    share = test.counts / test.counts.sum()
    mean_gains: dict[str, list[np.ndarray]] = {"naive": [], "honest": [], "shrunk": []}
    for chooser, judge in _together(val, test, draws, rng):
        overall = lowest(np.einsum("bkm,k->bm", np.nan_to_num(chooser), val.counts))[:, None]
        differences = chooser - chooser[:, :, [shrunk.reference]]
        curves = {"naive": judge, "honest": chooser, "shrunk": shrunk.curves(differences)}
        at_best = np.take_along_axis(judge, overall[:, :, None], axis=2)[:, :, 0]
        for name, curve in curves.items():
            best = lowest(curve)
            best = np.where(best < 0, overall, best)
            gains = at_best - np.take_along_axis(judge, best[:, :, None], axis=2)[:, :, 0]
            mean_gains[name].append(np.nan_to_num(gains) @ share)
    return {name: float(np.concatenate(drawn).std(ddof=1)) for name, drawn in mean_gains.items()}


def _together(
    val: Sample, test: Sample, draws: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield draws of val and of test, block by block, (b, K, M) each."""
    size = max(1, BLOCK // max(len(val.values), len(test.values), 1))
    for start in range(0, draws, size):
        number = min(size, draws - start)
        yield next(val.resampled(number, rng)), next(test.resampled(number, rng))


def over_seeds(gains: np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of one gain per seed and its t interval over seeds; NaN ends below two."""
    mean = gains.mean()
    if len(gains) < 2:
        return Interval(mean, np.nan, np.nan)
    reach = stats.t.ppf((1 + level) / 2, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    return Interval(mean, mean - reach, mean + reach)


def normal(estimate: float, error: float, level: float = 0.95) -> Interval:
    """Return an estimate with the normal interval of its standard error."""
    reach = stats.norm.ppf((1 + level) / 2) * error
    return Interval(estimate, estimate - reach, estimate + reach)
