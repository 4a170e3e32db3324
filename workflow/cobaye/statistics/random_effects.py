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

    The units of a backbone stand together. means: over classes, (M, U). covariances: over classes,
    (M, U, U). sampling: the mean over classes of the covariance that a class's means have by the
    images drawn, (M, U, U). classes: how many have the two images it takes.
    """

    means: np.ndarray
    covariances: np.ndarray
    sampling: np.ndarray
    classes: int

    def of(self, units: np.ndarray) -> Moments:
        """Return the moments of some units, by their places."""
        square = np.ix_(np.arange(len(self.means)), units, units)
        return Moments(
            self.means[:, units], self.covariances[square], self.sampling[square], self.classes
        )


def moments(differences: np.ndarray, labels: np.ndarray, classes: int) -> Moments:
    """Return the moments of differences (U, M, N) of images of labels (N,); NaN below two classes.

    Classes of fewer than two images are left out.
    """
    found: list[tuple[np.ndarray, ...]] = []
    number = 0
    for column in range(differences.shape[1]):
        sample = by_class(differences[:, column], labels, classes)
        enough = sample.counts > 1
        number = int(enough.sum())
        means, width = sample.means[enough], differences.shape[0]
        if number < 2:
            nothing = np.full((width, width), np.nan)
            found.append((nothing[0], nothing, nothing))
            continue
        sampling = sample.covariances[enough] / sample.counts[enough, None, None]
        covariance = np.cov(means, rowvar=False).reshape(width, width)
        found.append((means.mean(axis=0), covariance, sampling.mean(axis=0)))
    return Moments(*(np.array(parts) for parts in zip(*found, strict=True)), number)


def components(given: Moments, backbones: int) -> dict[str, np.ndarray]:
    """Return source → variance (M,), of the mean effect of λ on a class under one unit.

    Sources: ``class``, ``class × backbone``, ``class × seed``, ``backbone``, ``seed``, ``image``,
    ``image × backbone`` and ``image × seed``; those of images are divided by the class's number of
    images. Unbiased; an estimate may be negative. With one seed per backbone the sources of seeds
    are missing, and those of backbones contain them. With one backbone and one seed, only ``class``
    and ``image`` are known.
    """
    levels = {
        "class": given.covariances - given.sampling,
        # The square of the mean over all units is in the common part, which is left out.
        "": given.means[:, :, None] * given.means[:, None, :] - given.covariances / given.classes,
        "image": given.sampling,
    }
    found = {}
    for level, matrices in levels.items():
        for stratum, variance in _strata(matrices, backbones).items():
            name = " × ".join(part for part in (level, stratum) if part)
            if name:
                found[name] = variance
    order = ("class", "class × backbone", "class × seed", "backbone", "seed")
    return dict(sorted(found.items(), key=lambda item: (*order, item[0]).index(item[0])))


def _strata(matrices: np.ndarray, backbones: int) -> dict[str, np.ndarray]:
    """Return what all units share, what each backbone adds, and what each seed adds, (M,) each.

    matrices: covariances of the units, (M, U, U).
    """
    units = matrices.shape[1]
    backbone = np.repeat(np.arange(backbones), units // backbones)
    same = backbone[:, None] == backbone
    own = np.eye(units, dtype=bool)
    known = {"": ~same, "backbone": same & ~own, "seed": own}
    means = {name: matrices[:, cells].mean(axis=1) for name, cells in known.items() if cells.any()}
    if "backbone" not in means and "" in means:
        means["backbone"] = means.pop("seed")
    found, below = {}, 0.0
    for name, mean in zip(("", "backbone", "seed"), means.values(), strict=False):
        found[name], below = mean - below, mean
    return found


def component_intervals(given: Moments, backbones: int, level: float = 0.95) -> dict[str, Interval]:
    """Return source → variance with its interval over backbones, (M,); the classes stay.

    Of ``backbone``: from χ² with B − 1 degrees of freedom of the variance between the backbones'
    means; the terms that are taken off it count as known. (The jackknife is known to fail for the
    variance of a few values.) Of all others: `jackknife` over backbones. NaN below three backbones.
    """
    units = given.means.shape[1]
    places = np.arange(units).reshape(backbones, -1)

    def without(left: np.ndarray) -> np.ndarray:
        kept = given.of(places[left].ravel())
        return np.array(list(components(kept, len(left)).values()))

    whole = components(given, backbones)
    if backbones < 3:
        nothing = np.full(len(given.means), np.nan)
        return {name: Interval(value, nothing, nothing) for name, value in whole.items()}
    drawn = jackknife(without, backbones, level)
    found = {
        name: Interval(value, drawn.low[place], drawn.high[place])
        for place, (name, value) in enumerate(whole.items())
    }
    own = given.means.reshape(len(given.means), backbones, -1).mean(axis=2)
    seen = own.var(axis=1, ddof=1)
    ends = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], backbones - 1)[:, None]
    low, high = (backbones - 1) * seen / ends - (seen - whole["backbone"])
    return {**found, "backbone": Interval(whole["backbone"], low, high)}


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
