"""Backbones and seeds as random effects: the sources of the variance of λ's effect on classes.

For each λ, the loss of image i of class c under backbone b and seed s, less that at the reference:

    d_bsi = μ + B_b + S_bs + C_c + CB_cb + CS_cbs + I_i + IB_ib + IS_ibs

Classes are crossed with backbones, seeds are nested in backbones, and the images of a class are the
same for all. So the mean of a class has errors that are alike under all backbones (I), and errors
of each backbone (IB) and seed (IS). Everything is estimated by moments. In a balanced design, this
gives the estimates of the analysis of variance (Searle, Casella and McCulloch 1992, Variance
Components, chapter 4): the covariance of two cells of different backbones is the variance that all
backbones share; two seeds of one backbone share the variance between backbones as well; and so on.
Classes weigh the same. They may have other numbers of images and other variances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import by_class


@dataclass(frozen=True)
class Moments:
    """The class means under U units, a backbone and a seed each, per λ.

    The units of a backbone stand together. cells: (M, K, U). noise: the covariance that a class's
    means have by the images drawn, (M, K, U, U). Classes of fewer than two images are left out.
    """

    cells: np.ndarray
    noise: np.ndarray

    def of(self, units: np.ndarray) -> Moments:
        """Return the moments of some units, by their places."""
        return Moments(self.cells[:, :, units], self.noise[:, :, units][..., units])

    @property
    def means(self) -> np.ndarray:
        """The means over classes, (M, U)."""
        return self.cells.mean(axis=1)

    def products(self) -> np.ndarray:
        """Return, per class, what the covariance over classes is the mean of, (M, K, U, U)."""
        centred = self.cells - self.means[:, None]
        number = self.cells.shape[1]
        return centred[..., :, None] * centred[..., None, :] * number / max(number - 1, 1)


def moments(differences: np.ndarray, labels: np.ndarray, classes: int) -> Moments:
    """Return the moments of differences (U, M, N) of images of labels (N,) < K.

    NaN where fewer than two classes have two images.
    """
    if (np.bincount(labels, minlength=1) > 1).sum() < 2:
        units, columns, _ = differences.shape
        shape = (columns, 2, units)
        return Moments(np.full(shape, np.nan), np.full((*shape, units), np.nan))
    cells, noise = [], []
    for column in range(differences.shape[1]):
        sample = by_class(differences[:, column], labels, classes)
        enough = sample.counts > 1
        cells.append(sample.means[enough])
        noise.append(sample.covariances[enough] / sample.counts[enough, None, None])
    return Moments(np.array(cells), np.array(noise))


def components(given: Moments, backbones: int) -> dict[str, np.ndarray]:
    """Return source → variance (M,), of the mean effect of λ on a class under one unit.

    Sources: ``class``, ``class × backbone``, ``class × seed``, ``backbone``, ``seed``, ``image``,
    ``image × backbone`` and ``image × seed``; those of images are divided by the class's number of
    images. Unbiased; an estimate may be negative. With one seed per backbone the sources of seeds
    are missing, and those of backbones contain them. With one backbone and one seed, only ``class``
    and ``image`` are known.
    """
    found = {}
    for level, matrices in _matrices(given).items():
        for stratum, variance in _strata(matrices.mean(axis=1), backbones).items():
            found[_name(level, stratum)] = variance
    # The square of the mean over all units is in the common part, which is left out.
    means, number = given.means, given.cells.shape[1]
    products = means[:, :, None] * means[:, None, :] - given.products().mean(axis=1) / number
    together = _strata(products, backbones)
    del together[""]
    order = [*CLASS, *together, *IMAGE]
    return {name: {**found, **together}[name] for name in order if name in {**found, **together}}


CLASS = ("class", "class × backbone", "class × seed")
IMAGE = ("image", "image × backbone", "image × seed")


def _matrices(given: Moments) -> dict[str, np.ndarray]:
    """Return, per class, unbiased covariances of units: of its effects, and of its noise."""
    return {"class": given.products() - given.noise, "image": given.noise}


def _name(level: str, stratum: str) -> str:
    return f"{level} × {stratum}" if stratum else level


def _strata(matrices: np.ndarray, backbones: int) -> dict[str, np.ndarray]:
    """Return what all units share, what each backbone adds, and what each seed adds, (…) each.

    matrices: covariances of the units, (…, U, U).
    """
    units = matrices.shape[-1]
    backbone = np.repeat(np.arange(backbones), units // backbones)
    same = backbone[:, None] == backbone
    own = np.eye(units, dtype=bool)
    known = {"": ~same, "backbone": same & ~own, "seed": own}
    means = {
        name: matrices[..., cells].mean(axis=-1) for name, cells in known.items() if cells.any()
    }
    if "backbone" not in means and "" in means:
        means["backbone"] = means.pop("seed")
    found, below = {}, 0.0
    for name, mean in zip(("", "backbone", "seed"), means.values(), strict=False):
        found[name], below = mean - below, mean
    return found


@dataclass(frozen=True)
class Component:
    """A variance, (M,), with its interval, and the interval's degrees of freedom."""

    interval: Interval
    freedom: np.ndarray


def component_intervals(
    given: Moments, backbones: int, level: float = 0.95
) -> dict[str, Component]:
    """Return source → variance with its interval, for backbones and classes drawn anew.

    The squared error is that over backbones, from the jackknife, and that over classes, added: for
    crossed samples this is conservative (Owen 2007, The pigeonhole bootstrap). Its degrees of
    freedom are Satterthwaite's (1946), between B − 1 and the sum of B − 1 and K − 1. Of
    ``backbone``: B − 1, from χ² of the variance between the backbones' means, the terms that are
    taken off it counting as known, since the jackknife fails for the variance of a few values. NaN
    below three backbones or two classes.
    """
    whole = components(given, backbones)
    number = given.cells.shape[1]
    nothing = np.full(len(given.cells), np.nan)
    if backbones < 3 or number < 2:
        none = {name: Interval(value, nothing, nothing) for name, value in whole.items()}
        return {name: Component(interval, nothing) for name, interval in none.items()}
    over_backbones, over_classes = _errors(given, backbones), _class_errors(given, backbones)
    found = {}
    for name, value in whole.items():
        parts = [(over_backbones[name], backbones - 1), (over_classes.get(name, 0), number - 1)]
        square = sum(error**2 for error, _ in parts)
        fourth = sum(error**4 / each for error, each in parts)
        freedom = square**2 / np.where(fourth > 0, fourth, np.nan)
        reach = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(square)
        found[name] = Component(Interval(value, value - reach, value + reach), freedom)
    own = given.means.reshape(len(nothing), backbones, -1).mean(axis=2).var(axis=1, ddof=1)
    ends = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], backbones - 1)[:, None]
    low, high = (backbones - 1) * own / ends - (own - whole["backbone"])
    interval = Interval(whole["backbone"], low, high)
    return {**found, "backbone": Component(interval, np.full(len(nothing), backbones - 1.0))}


def _errors(given: Moments, backbones: int) -> dict[str, np.ndarray]:
    """Return source → standard error over backbones, (M,), by the jackknife."""
    places = np.arange(given.cells.shape[2]).reshape(backbones, -1)
    every = np.arange(backbones)
    drawn = [
        components(given.of(places[np.delete(every, each)].ravel()), backbones - 1)
        for each in every
    ]
    scale = (backbones - 1) / np.sqrt(backbones)
    return {
        name: scale * np.std([each[name] for each in drawn], axis=0, ddof=1) for name in drawn[0]
    }


def _class_errors(given: Moments, backbones: int) -> dict[str, np.ndarray]:
    """Return source → standard error over classes, (M,), of what is a mean over classes."""
    number = given.cells.shape[1]
    return {
        _name(level, stratum): values.std(axis=1, ddof=1) / np.sqrt(number)
        for level, matrices in _matrices(given).items()
        for stratum, values in _strata(matrices, backbones).items()
    }


def jackknife(
    estimate: Callable[[np.ndarray], np.ndarray],
    units: int,
    level: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Return an estimate over units with its t interval, U − 1 degrees of freedom.

    estimate: from the places of units to an array. Tukey's pseudo-values U θ − (U − 1) θ₋ᵤ (Miller
    1974, The jackknife: a review). The estimate is that of all units. limits: of what is estimated;
    the interval ends there.
    """
    every = np.arange(units)
    whole = np.asarray(estimate(every))
    left_out = np.array([estimate(np.delete(every, unit)) for unit in every])
    interval = over_units(units * whole - (units - 1) * left_out, level)
    return Interval(whole, *np.clip([interval.low, interval.high], *limits))


def over_units(values: np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of values (U, …) over units, with its t interval, U − 1 degrees of freedom.

    NaN ends below two units.
    """
    mean, freedom = values.mean(axis=0), len(values) - 1
    if freedom < 1:
        nothing = np.full(np.shape(mean), np.nan)
        return Interval(mean, nothing, nothing)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    reach = stats.t.ppf((1 + level) / 2, freedom) * error
    return Interval(mean, mean - reach, mean + reach)
