"""A λ for each class: what choosing gains.

Samples hold losses, a column per λ in order of rising λ (ties go to the larger). A gain is the loss
at the overall best λ less the loss at the chosen one: positive where choosing helps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from scipy import stats

from cobaye.statistics import shrinkage
from cobaye.statistics.effects import Interval
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import BLOCK, Sample

# How the λ of each class is chosen by `procedure_errors`.
PROCEDURES = ("naive", "honest", "shrunk")


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
    return normal(gains.values.mean(), error, level)


def procedure_errors(
    val: Sample, test: Sample, reference: int, draws: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Return the standard errors of the mean gain when all is drawn and the choices made anew.

    On each draw of val and test the overall best λ and that of each class are chosen and judged.
    First key, what is drawn: ``val and test``, other images of these classes; ``classes``, other
    classes with their images. Second key, the choice: ``naive`` (chosen and judged on test, the
    overall best on val), ``honest`` (chosen on val, judged on test), ``shrunk`` (by the lowest of
    the shrunk curve of val, its μ, T and P fitted anew). Classes without images in either split are
    left out; NaN with fewer than two others, or with one λ.
    """
    some = (val.counts > 0) & (test.counts > 0)
    if some.sum() < 2 or val.values.shape[1] < 2:
        return {drawn: dict.fromkeys(PROCEDURES, np.nan) for drawn in ("val and test", "classes")}
    val, test = val.selected(some), test.selected(some)
    worlds = {
        "val and test": other_images(val, test, reference, draws, rng),
        "classes": other_classes(val, test, draws, rng),
    }
    fixed = shrinkage.moments_of(val.relative_to(reference), reference)
    chosen: dict[str, Procedure] = {
        "naive": lambda world: lowest(world[1]),
        "honest": lambda world: lowest(world[0]),
        "shrunk": lambda world: lowest(shrunk_curves(fixed, reference, world[0], world[2])),
    }
    found = {drawn: gains_of(world, val, test, chosen) for drawn, world in worlds.items()}
    return {
        drawn: {name: float(gains.std(ddof=1)) for name, gains in by_name.items()}
        for drawn, by_name in found.items()
    }


# Class means of val and of test, (b, K, M) each, and how often each class counts, (b, K).
World = tuple[np.ndarray, np.ndarray, np.ndarray]
# From a world to each class's λ, (b, K).
Procedure = Callable[[World], np.ndarray]
Name = TypeVar("Name", bound=Hashable)


def gains_of(
    worlds: Iterator[World], val: Sample, test: Sample, procedures: Mapping[Name, Procedure]
) -> dict[Name, np.ndarray]:
    """Return each procedure's mean gain over the images of test, (draws,), in worlds drawn anew.

    A procedure that has several names is run once.
    """
    mean_gains: dict[Name, list[np.ndarray]] = {name: [] for name in procedures}
    for world in worlds:
        chooser, judge, weights = world
        overall = lowest(np.einsum("bkm,bk->bm", chooser, weights * val.counts))[:, None]
        share = weights * test.counts / (weights @ test.counts)[:, None]
        at_best = np.take_along_axis(judge, overall[:, :, None], axis=2)[:, :, 0]
        once: dict[Procedure, np.ndarray] = {}
        for name, procedure in procedures.items():
            if procedure not in once:
                best = procedure(world)
                gains = at_best - np.take_along_axis(judge, best[:, :, None], axis=2)[:, :, 0]
                once[procedure] = (gains * share).sum(axis=1)
            mean_gains[name].append(once[procedure])
    return {name: np.concatenate(drawn) for name, drawn in mean_gains.items()}


def shrunk_curves(
    fixed: shrinkage.Moments, reference: int, means: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return shrunk curves of drawn class means, (b, K, M), μ, T and P fitted anew.

    fixed: what does not change with the draw. means: (b, K, M). weights: (b, K).
    """
    others = np.arange(means.shape[2]) != reference
    differences = means[:, :, others] - means[:, :, [reference]]
    fitted = shrinkage.fit(dataclasses.replace(fixed, means=differences), weights)
    return np.insert(fitted.curves(differences, fixed.sizes[1]), reference, 0, axis=2)


def other_images(
    val: Sample,
    test: Sample,
    reference: int,
    draws: int,
    rng: np.random.Generator,
    *,
    one_curve: bool = False,
) -> Iterator[World]:
    """Yield draws of other images of the same classes, block by block.

    Resampled images would stand about the class means that were seen, which vary more between
    classes than the true ones. So each class's images are moved to `shrinkage.spread_as_true` of
    both splits together, and stretched about it by √(n/(n − 1)), as a bootstrap of n is too narrow
    by as much. one_curve: they are moved to the mean curve, so that any gain is noise.
    """
    both = val.joined(test).relative_to(reference)
    if one_curve:
        centres = np.broadcast_to(both.means.mean(axis=0), both.means.shape)
    else:
        centres = shrinkage.spread_as_true(both, reference)
    moved = [sample.relative_to(reference).centred_on(centres) for sample in (val, test)]
    block = max(1, BLOCK // max(len(val.values), len(test.values), 1))
    for start in range(0, draws, block):
        number = min(block, draws - start)
        means = [next(sample.resampled(number, rng)) for sample in moved]
        yield *means, np.ones((number, len(val.counts)))


def other_classes(
    val: Sample, test: Sample, draws: int, rng: np.random.Generator
) -> Iterator[World]:
    """Yield draws of classes, with all their images, block by block."""
    number, width = val.means.shape
    block = max(1, BLOCK // (number * width))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        weights = rng.multinomial(number, np.full(number, 1 / number), size=size).astype(float)
        shape = (size, number, width)
        yield np.broadcast_to(val.means, shape), np.broadcast_to(test.means, shape), weights


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


def students(estimate: float, error: float, number: int, level: float = 0.95) -> Interval:
    """Return an estimate with the interval of a bootstrap of `number` units: Student's t.

    The standard error is stretched by √(n/(n − 1)), as a bootstrap of n units is too narrow by as
    much. NaN ends below two units.
    """
    if number < 2:
        return Interval(estimate, np.nan, np.nan)
    reach = stats.t.ppf((1 + level) / 2, number - 1) * np.sqrt(number / (number - 1)) * error
    return Interval(estimate, estimate - reach, estimate + reach)


def detectable(error: float, level: float = 0.95, power: float = 0.8) -> float:
    """Return the true gain whose interval, of this standard error, lies above 0 with `power`."""
    return float((stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power)) * error)
