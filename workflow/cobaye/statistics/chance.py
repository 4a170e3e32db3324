"""The λ that noise alone would choose for each class, if classes had one curve or one shape.

Samples hold losses, a column per λ in order of rising λ (ties go to the larger).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cobaye.statistics import noise
from cobaye.statistics.effects import Interval
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import BLOCK, Sample


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
    sample: Sample,
    reference: int,
    draws: int,
    rng: np.random.Generator,
    level: float = 0.95,
    *,
    own_amplitudes: bool,
) -> Null:
    """Return what the counts would be if the curves of all classes had one shape over λ.

    The common curve m is the mean of the class means of differences from `reference`, each class
    weighing the same. Class c's true curve is m, or a_c m with `own_amplitudes`: then classes gain
    and lose more or less, but all of them most at one λ. To it comes normal noise of the covariance
    of the class's mean, mixed with that of the other classes (`noise.mixed`): with its own alone, a
    class whose images leave out the tail would seem surer than it is. In simulations of lognormal
    losses, more classes than noise makes were then seen in 9 to 50 % of studies without any.
    """
    enough = sample.counts > 1
    width = sample.values.shape[1]
    if not enough.any():
        nothing = Interval(*(np.full(width, np.nan) for _ in range(3)))
        one = Interval(*(np.array(np.nan) for _ in range(3)))
        return Null(np.zeros(width), nothing, one, 0)
    kept = Sample(sample.values[enough[sample.labels]], sample.counts[enough])
    differences = kept.relative_to(reference)
    curve = differences.means.mean(axis=0)
    size = amplitudes(differences) if own_amplitudes else np.ones(len(kept.counts))
    roots = noise.power(noise.mixed(differences), 0.5)
    share = kept.counts / kept.counts.sum()
    counts, gains = [], []
    block = max(1, BLOCK // (len(size) * width))
    for start in range(0, draws, block):
        drawn = rng.standard_normal((min(block, draws - start), len(size), width))
        means = size[:, None] * curve + np.einsum("kij,bkj->bki", roots, drawn)
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


def amplitudes(differences: Sample) -> np.ndarray:
    """Return the amplitude of each class's curve in units of the common one, (K,), none below 0.

    The projection of the class's mean curve on the common curve, each λ weighed by the inverse of
    the mean variance of its noise. Noise makes amplitudes differ more than they do: their distance
    from their mean is scaled so that they vary as much as they do without it (Ghosh 1992,
    doi:10.1080/01621459.1992.10475236, on ensembles of shrunk estimates). 1 where the common curve
    is flat, or with fewer than two classes. Every class has two images or more.
    """
    curve = differences.means.mean(axis=0)
    covariances = noise.sampling(differences)
    mean = np.diagonal(covariances, axis1=1, axis2=2).mean(axis=0)
    weights = np.divide(curve, mean, out=np.zeros_like(curve), where=mean > 0)
    size = weights @ curve
    if not size > 0 or len(differences.counts) < 2:
        return np.ones(len(differences.counts))
    weights = weights / size
    seen = differences.means @ weights
    total = seen.var(ddof=1)
    true = max(total - np.einsum("i,kij,j->k", weights, covariances, weights).mean(), 0)
    scale = np.sqrt(true / total) if total > 0 else 0.0
    return np.maximum(seen.mean() + scale * (seen - seen.mean()), 0)


def _counted(chosen: np.ndarray, width: int) -> np.ndarray:
    """Return how often each of `width` places stands in each row of (B, K), as (B, width)."""
    rows = np.arange(len(chosen))[:, None] * width
    return np.bincount((rows + chosen).ravel(), minlength=len(chosen) * width).reshape(-1, width)
