"""Split-half reliability: how well random halves of each class's images agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample


@dataclass(frozen=True)
class Reliability:
    """How two halves of each class's images agree.

    correlation: over classes, of the halves' mean differences, per column (M,). stepped_up: the
    same for the whole number of images, by Spearman and Brown: 2r/(1 + r). agreement: the share of
    classes whose best column is the same in both halves. expected: that share if halves were
    matched at random among classes. kappa: Cohen's, (agreement − expected)/(1 − expected), the
    agreement beyond chance. Spearman and Brown's formula holds for means, not for choices.
    """

    correlation: Interval
    stepped_up: Interval
    agreement: Interval
    expected: float
    kappa: Interval


def split_half(
    sample: Sample, reference: int, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Reliability:
    """Return the agreement of random halves, drawn `draws` times within each class.

    sample: losses, a column per λ, in order of rising λ. Estimates are means over the draws;
    intervals are quantiles over draws of the halves and of the classes (bootstrap) at once, so
    that they allow for other images' halves and other classes. NaN below two classes of two images
    each, and for a column without differences.
    """
    enough = sample.counts > 1
    number, width = int(enough.sum()), sample.values.shape[1]
    if number < 2:
        nothing = Interval(*(np.full(width, np.nan) for _ in range(3)))
        unknown = Interval(*(np.array(np.nan) for _ in range(3)))
        return Reliability(nothing, nothing, unknown, np.nan, unknown)
    plain, drawn, shares = [], [], []
    for pair in sample.halved(draws, rng):
        first, second = (half[:, enough] for half in pair)
        weights = rng.multinomial(number, np.full(number, 1 / number), size=len(first)) / number
        evenly = np.full_like(weights, 1 / number)
        halves = [half - half[:, :, [reference]] for half in (first, second)]
        plain.append(_correlations(*halves, evenly))
        drawn.append(_correlations(*halves, weights))
        best = lowest(first), lowest(second)
        shares.append([_agreement(*best, w, width) for w in (evenly, weights)])
    plain, drawn = np.concatenate(plain), np.concatenate(drawn)
    (same, chance), (same_drawn, chance_drawn) = np.concatenate(shares, axis=-1)
    mean = plain.mean(axis=0)
    ends = _ends(drawn, level)
    kappa = _kappa(same.mean(), chance.mean())
    return Reliability(
        Interval(mean, *ends),
        Interval(*(_stepped_up(correlation) for correlation in (mean, *ends))),
        Interval(same.mean(), *_ends(same_drawn, level)),
        float(chance.mean()),
        Interval(kappa, *_ends(_kappa(same_drawn, chance_drawn), level)),
    )


def lowest(losses: np.ndarray) -> np.ndarray:
    """Return the place of the lowest loss along the last axis, ties to the larger λ; −1: none.

    The columns are in order of rising λ; NaN is never lowest.
    """
    known = np.where(np.isnan(losses), np.inf, losses)
    place = losses.shape[-1] - 1 - np.argmin(known[..., ::-1], axis=-1)
    return np.where(np.isinf(known).all(axis=-1), -1, place)


def _correlations(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted correlations over classes, (B, M), of (B, K, M); weights (B, K)."""
    w = weights[:, :, None]
    a = first - (w * first).sum(axis=1, keepdims=True)
    b = second - (w * second).sum(axis=1, keepdims=True)
    scale = np.sqrt((w * a**2).sum(axis=1) * (w * b**2).sum(axis=1))
    return (w * a * b).sum(axis=1) / np.where(scale > 0, scale, np.nan)


def _agreement(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of classes with one choice in both halves, (B,), observed and by chance."""
    same = (weights * (first == second)).sum(axis=1)
    chance = sum(
        (weights * (first == place)).sum(axis=1) * (weights * (second == place)).sum(axis=1)
        for place in range(width)
    )
    return same, chance


def _kappa(same: np.ndarray, chance: np.ndarray) -> np.ndarray:
    room = 1 - np.asarray(chance)
    return (np.asarray(same) - chance) / np.where(room > 1e-12, room, np.nan)


def _stepped_up(correlation: np.ndarray) -> np.ndarray:
    """Return Spearman and Brown's 2r/(1 + r), at least −1."""
    return np.maximum(2 * correlation / np.maximum(1 + correlation, 1e-12), -1)


def _ends(drawn: np.ndarray, level: float) -> np.ndarray:
    """Return the quantiles over the first axis; NaN for a column with nothing known."""
    ends = np.full((2, *drawn.shape[1:]), np.nan)
    known = ~np.isnan(drawn).all(axis=0)
    ends[:, known] = np.nanquantile(drawn[:, known], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends
