"""Each class's λ predicted from its traits, by the curves of other classes alone."""

from __future__ import annotations

import numpy as np

from cobaye.statistics.choices import Procedure, World
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import Sample


def margins(losses: Sample, finest: float = 1e-6) -> np.ndarray:
    """Return each class's mean margin, (K,), of losses (N, 1): log p/(1 − p), p of the true label.

    With cross-entropy ℓ, p = exp(−ℓ), and the margin is the true label's logit less the log of the
    sum of the others' exponentials. finest: what a stored loss below it is taken for.
    """
    clipped = np.maximum(losses.values, finest)
    return losses.with_values(-np.log(np.expm1(clipped))).means[:, 0]


def separation(means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return each class's distance-normalised variance to the class that is nearest by it, (K,).

    max over other classes k of (v_c + v_k) / (2 ‖μ_c − μ_k‖²), a measure of neural collapse: 0
    where classes are points (Galanti, György and Hutter 2022, arXiv:2112.15121). means: μ, (K, D).
    variances: traces of the classes' covariances, (K,). NaN for a class without either.
    """
    norms = (means**2).sum(axis=1)
    apart = np.maximum(norms[:, None] - 2 * means @ means.T + norms, 0)
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (variances[:, None] + variances) / (2 * apart)
    nearest = np.fmax.reduce(np.where(np.isfinite(ratios), ratios, np.nan), axis=1)
    return np.where(np.isnan(variances), np.nan, nearest)


def halvings(classes: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return random halves of the classes, (S, K) bool."""
    return np.argsort(rng.random((number, classes)), axis=1) < classes // 2


def by_traits(val: Sample, traits: np.ndarray, halves: np.ndarray) -> Procedure:
    """Return the choice of the lowest point of a curve predicted from traits.

    traits: (K, p), NaN for not known. halves: (S, K). The loss at each λ is a linear function of
    the traits, fitted to one half of the classes and read off for the other, both ways; a class's
    curve is the mean over the halvings, so it never depends on the class's own images. Least
    squares, a class weighing as its images, with a ridge of one class on standardised traits.
    """
    known = ~np.isnan(traits)
    mean = np.nansum(traits, axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, traits - mean, 0)
    deviation = centred.std(axis=0)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12)
    design = np.column_stack([np.ones(len(traits)), scaled])
    ridge = np.diag([1e-9, *np.ones(traits.shape[1])])

    def choose(world: World) -> np.ndarray:
        means, _, weights = world
        images = weights * val.counts / val.counts.mean()
        curves = np.zeros(means.shape)
        for half in np.concatenate([halves, ~halves]):
            own, fitted = design[half], images[:, half, None] * design[half]
            gram = np.swapaxes(fitted, 1, 2) @ own + ridge
            slopes = np.linalg.solve(gram, np.swapaxes(fitted, 1, 2) @ means[:, half])
            curves[:, ~half] += design[~half] @ slopes
        return lowest(curves)

    return choose
