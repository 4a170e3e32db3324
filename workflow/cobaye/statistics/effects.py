"""The effects of λ on each class, and whether they differ by more than chance.

Everything is a difference from the reference λ (the best overall, chosen on the validation split),
paired by image: `Sample.relative_to`. A positive difference is a class that is worse off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cobaye.statistics import noise
from cobaye.statistics.sample import Sample


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its interval, arrays of one shape."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def class_means(differences: Sample, level: float = 0.95) -> Interval:
    """Return each class's mean difference, (K, M), with its t interval (n − 1 degrees of freedom).

    A class of one image has an estimate and no interval (NaN); one without images has neither.
    """
    error = np.sqrt(differences.variances / _positive(differences.counts)[:, None])
    freedom = _positive(differences.counts - 1)[:, None]
    reach = stats.t.ppf((1 + level) / 2, freedom) * error
    return Interval(differences.means, differences.means - reach, differences.means + reach)


def class_p_values(differences: Sample) -> np.ndarray:
    """Return p of "λ changes this class as it changes the mean class", (K, M), two-sided.

    A t test, n − 1 degrees of freedom, of the class's mean difference less the mean over classes,
    each weighing the same: its variance is (1 − 2/K) v_c + Σ v / K², v_c that of the class's own
    mean. Losses have long tails, and a class whose images leave out the tail has a mean and a
    variance too low together. So v_c is its own estimate or that of `noise.mixed`, whichever is
    larger, and t is freed of the skewness g that all classes have in common by Hall's cubic,
    t + a t²/3 + a² t³/27 + a/6 with a = g/√n (Hall 1992, doi:10.1111/j.2517-6161.1992.tb01872.x).
    NaN where there are fewer than two images or they do not differ.
    """
    p = np.full(differences.means.shape, np.nan)
    known = differences.counts > 1
    if not known.any():
        return p
    kept = differences.selected(known)
    n = kept.counts[:, None]
    mixed = np.diagonal(noise.mixed(kept), axis1=1, axis2=2)
    variances = np.maximum(kept.variances / n, mixed)
    number = len(kept.counts)
    error = np.sqrt((1 - 2 / number) * variances + variances.sum(axis=0) / number**2)
    error = np.where((kept.variances > 0) & (error > 0), error, np.nan)
    t = (kept.means - kept.means.mean(axis=0)) / error
    residuals = kept.values - kept.means[kept.labels]
    cubes = kept.sums(residuals**3).sum(axis=0)
    size = (n * (n * variances) ** 1.5).sum(axis=0)
    a = np.divide(cubes, size, out=np.zeros_like(size), where=size > 0) / np.sqrt(n)
    p[known] = 2 * stats.t.sf(np.abs(t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6), n - 1)
    return p


def class_shares(differences: Sample, level: float = 0.95) -> Interval:
    """Return each class's mean difference of correctness, (K, M), with an adjusted Wald interval.

    Values are in [−1, 1]. Bonett and Price (2012, doi:10.3102/1076998611411915): the interval is
    computed as if one more image had been gained and one more lost, so that it has a width where no
    image of a class changes. NaN for a class without images.
    """
    counts = _positive(differences.counts)[:, None]
    squares = differences.sums(differences.values**2)
    centre = differences.means * counts / (counts + 2)
    spread = np.sqrt(((squares + 2) / (counts + 2) - centre**2) / (counts + 2))
    reach = stats.norm.ppf((1 + level) / 2) * spread
    low, high = np.maximum(centre - reach, -1), np.minimum(centre + reach, 1)
    return Interval(differences.means, low, high)


def adjusted(p_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p-values (K, M) adjusted over the K classes: Benjamini–Hochberg's and Holm's.

    Benjamini–Hochberg: naming the classes with q ≤ 0.05, at most 5 % of those named are expected to
    be wrong. Holm: the probability that even one named class is wrong is at most 5 %. NaN stays
    NaN and does not count as a test.
    """
    fdr, holm = np.full(p_values.shape, np.nan), np.full(p_values.shape, np.nan)
    for column in range(p_values.shape[1]):
        known = np.flatnonzero(~np.isnan(p_values[:, column]))
        tested = p_values[known, column]
        if len(tested):
            fdr[known, column] = stats.false_discovery_control(tested)
        order = np.argsort(tested, kind="stable")
        steps = np.maximum.accumulate(tested[order] * np.arange(len(tested), 0, -1))
        holm[known[order], column] = np.minimum(steps, 1)
    return fdr, holm


@dataclass(frozen=True)
class Between:
    """The variance between classes of the effect of λ, per column (M,).

    variance: between classes, sampling noise taken off; it may be negative. least: lower ends that
    hold at all columns together, with probability `level`. p: the smallest 1 − level at which one
    of them is above 0; NaN where nothing differs. noise: the mean sampling variance of a class's
    mean. classes: how many have the two images it takes.
    """

    variance: Interval
    least: np.ndarray
    p: float
    noise: np.ndarray
    classes: int


def between_classes(
    differences: Sample, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Between:
    """Return the variance between classes of the true mean differences, corrected for sampling.

    By moments, all classes weighing the same (Hedges' estimator): the variance over classes of the
    observed means, less the mean of their sampling variances. Unbiased whatever the noise. It is
    about the common curve: an effect that all classes share is no part of it. Its interval is a
    studentised bootstrap over classes (Efron's bootstrap t); the ends at all columns together take
    the largest ratio over columns. NaN below two classes of two images each.
    """
    enough = differences.counts > 1
    number, width = int(enough.sum()), differences.values.shape[1]
    if number < 2:
        nothing = np.full(width, np.nan)
        return Between(Interval(nothing, nothing, nothing), nothing, np.nan, nothing, number)
    means = differences.means[enough]
    noise = differences.variances[enough] / differences.counts[enough, None]
    # Centred on the mean, its powers lose no digits; all draws from their weighted sums.
    centred = means - means.mean(axis=0)
    powers = (centred, centred**2, centred**3, centred**4, noise, noise**2)
    mixed = (noise * centred, noise * centred**2)
    terms = np.stack([*powers, *mixed], axis=1).reshape(number, -1)
    weights = rng.multinomial(number, np.full(number, 1 / number), size=draws)
    estimate, error = _variance_and_error(terms.mean(axis=0).reshape(8, width), number)
    drawn = (weights @ terms / number).reshape(draws, 8, width).swapaxes(0, 1)
    others, errors = _variance_and_error(drawn, number)
    ratio = (others - estimate) / np.where(errors > 0, errors, np.nan)
    ratio = np.where(np.isnan(ratio), 0.0, ratio)  # a column without differences
    ends = np.quantile(ratio, [(1 + level) / 2, (1 - level) / 2], axis=0)
    low, high = estimate - ends * error
    largest = ratio.max(axis=1)
    place = min(int(np.ceil(level * (draws + 1) - 1e-9)), draws) - 1
    least = estimate - np.sort(largest)[place] * error
    p = np.nan
    if (error > 0).any():
        seen = np.divide(estimate, error, out=np.zeros_like(estimate), where=error > 0).max()
        p = float(((largest >= seen).sum() + 1) / (draws + 1))
    return Between(Interval(estimate, low, high), least, p, noise.mean(axis=0), number)


def _variance_and_error(sums: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimate, and its standard error over classes, from mean powers (8, …, M).

    The estimate is the mean of u = c (x − m)² − v, c = K/(K − 1); its error, sd(u)/√K.
    """
    x1, x2, x3, x4, v1, v2, vx, vxx = sums
    c = number / (number - 1)
    square = x2 - x1**2
    fourth = x4 - 4 * x1 * x3 + 6 * x1**2 * x2 - 3 * x1**4
    cross = vxx - 2 * x1 * vx + x1**2 * v1
    estimate = c * square - v1
    second = c**2 * fourth - 2 * c * cross + v2
    return estimate, np.sqrt(np.maximum(second - estimate**2, 0) / (number - 1))


@dataclass(frozen=True)
class CommonCurve:
    """Tests that λ acts alike on all classes. p: per column (M,); overall: over all columns."""

    p: np.ndarray
    overall: float


def common_curve_test(differences: Sample, draws: int, rng: np.random.Generator) -> CommonCurve:
    """Test "all classes have one common curve" by a bootstrap within classes that makes it true.

    Each class's images are moved to the mean of the class means, keep their own spread, and are
    resampled: classes may differ in spread and in number of images, which a permutation of images
    would take for an effect. The statistic is the variance over classes of their means, per λ; over
    all λ, the largest of them in standard deviations of the draws. p = (b + 1)/(B + 1), b of B
    draws being at least as large. Classes of one image are left out; NaN below two others, and
    where nothing differs.
    """
    width = differences.values.shape[1]
    kept = differences.selected(differences.counts > 1)
    if len(kept.counts) < 2:
        return CommonCurve(np.full(width, np.nan), np.nan)
    centre = kept.means.mean(axis=0)
    observed = kept.means.var(axis=0)
    null = kept.centred_on(np.broadcast_to(centre, kept.means.shape))
    drawn = np.concatenate([means.var(axis=1) for means in null.resampled(draws, rng)])
    spread = drawn.std(axis=0)
    live = spread > 1e-9 * drawn.max(axis=0)
    if not live.any():
        return CommonCurve(np.full(width, np.nan), np.nan)
    observed, drawn, spread = observed[live], drawn[:, live], spread[live]
    p = np.full(width, np.nan)
    p[live] = ((drawn >= observed).sum(axis=0) + 1) / (draws + 1)
    mean = drawn.mean(axis=0)
    highest = ((drawn - mean) / spread).max(axis=1)
    largest = ((observed - mean) / spread).max()
    return CommonCurve(p, float(((highest >= largest).sum() + 1) / (draws + 1)))


def _positive(counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, counts, np.nan)
