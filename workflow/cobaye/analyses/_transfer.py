"""A λ per class, chosen with one unit and judged with another; how far their choices agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from cobaye.analyses._units import Units
from cobaye.randomness import derived_seed
from cobaye.statistics import choices, random_effects, reliability, shrinkage, transfer
from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample

WAYS = ("val", "shrunk")


def chosen(val: Sample, reference: int, way: str) -> np.ndarray:
    """Return the place of the λ that a way chooses for each class on val, (K,)."""
    if way == "val":
        return choices.chosen_per_class(val.means, reference)
    return reliability.lowest(shrinkage.curves(val.relative_to(reference), reference))


def gains(units: Units, way: str) -> Interval:
    """Return the gain on test of the λ chosen with a (row) for b (column), (B, B), images drawn."""
    places = [chosen(view.losses["val"], view.reference, way) for view in units.views]
    cells = [
        [
            choices.gain(
                view.losses["test"],
                view.reference,
                transfer.moved(own, first.reference, view.reference, units.weight_decays),
                view.level,
            )
            for view in units.views
        ]
        for own, first in zip(places, units.views, strict=True)
    ]
    ends = ("estimate", "low", "high")
    return Interval(*(np.array([[getattr(c, end) for c in row] for row in cells]) for end in ends))


def agreement(units: Units, way: str, halvings: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlations over classes of chosen log λ, (B, B): as seen, and less noise.

    As seen: chosen on all of val, whose images all units share. Less noise: `transfer.corrected`,
    from random halves of each class's images, the same halves for all units.
    """
    logs = transfer.log_decays(units.weight_decays)
    samples = [view.losses["val"] for view in units.views]
    references = [view.reference for view in units.views]
    whole = _logs(samples, references, way, logs)
    name = "/".join(["analyse_backbones", *units.group, way])
    rng = np.random.default_rng(derived_seed(name, seed))
    found = []
    for _ in range(halvings):
        order = np.argsort(samples[0].labels + rng.random(len(samples[0].values)))
        parts = [_half(samples, order, second) for second in (False, True)]
        found.append(transfer.correlations(*(_logs(part, references, way, logs) for part in parts)))
    return transfer.correlations(whole, whole), transfer.corrected(np.mean(found, axis=0))


def _logs(samples: list[Sample], references: list[int], way: str, logs: np.ndarray) -> np.ndarray:
    """Return the log λ of each class, (B, K)."""
    pairs = zip(samples, references, strict=True)
    return np.array([logs[chosen(sample, reference, way)] for sample, reference in pairs])


def _half(samples: list[Sample], order: np.ndarray, second: bool) -> list[Sample]:
    """Return the first or the second half of each class's images, in a random order within it."""
    counts, whole = samples[0].counts // 2, samples[0]
    place = np.arange(len(order)) - whole.starts[whole.labels]
    first = (second * counts)[whole.labels]
    rows = order[(place >= first) & (place < first + counts[whole.labels])]
    return [Sample(sample.values[rows], counts) for sample in samples]


def rows(units: Units, halvings: int, seed: int) -> list[dict[str, Any]]:
    """Return a row per way and ordered pair of units."""
    found = []
    for way in WAYS:
        gain, (seen, less_noise) = gains(units, way), agreement(units, way, halvings, seed)
        for (a, b), value in np.ndenumerate(gain.estimate):
            ends = {"gain": value, "low": gain.low[a, b], "high": gain.high[a, b]}
            agreed = {"correlation": seen[a, b], "correlation_corrected": less_noise[a, b]}
            if a == b:
                agreed = dict.fromkeys(agreed, np.nan)
            named = {"choice": way, "chosen_on": units.names[a], "judged_on": units.names[b]}
            best = {"best_chosen_on": _best(units, a), "best_judged_on": _best(units, b)}
            found.append({**named, **best, **ends, **agreed})
    return found


def _best(units: Units, place: int) -> str:
    return units.labels[units.views[place].reference]


def summary(units: Units, table: list[dict[str, Any]], level: float) -> dict[Any, Interval]:
    """Return (quantity, way) → interval over units, of the rows of `rows`.

    Own and foreign: the mean gain of the λ chosen with the unit itself and with the others, by unit
    that they are judged with. Correlations: means over pairs, with `random_effects.jackknife`.
    """
    found: dict[Any, Interval] = {}
    count = len(units.names)
    for way in WAYS:
        of = [row for row in table if row["choice"] == way]
        matrices = {
            key: np.array([row[key] for row in of], dtype=float).reshape(count, count)
            for key in ("gain", "correlation", "correlation_corrected")
        }
        gain = matrices["gain"]
        own = np.diagonal(gain)
        foreign = (gain.sum(axis=0) - own) / (count - 1)
        for name, values in [
            ("gain of a unit's own λ", own),
            ("gain of other units' λ", foreign),
            ("own less others", own - foreign),
        ]:
            found[name, way] = random_effects.over_units(values, level)
        for key, name in [
            ("correlation", "correlation of chosen log λ"),
            ("correlation_corrected", "correlation of chosen log λ, less noise"),
        ]:
            found[name, way] = _over_pairs(matrices[key], level)
    return found


def _over_pairs(matrix: np.ndarray, level: float) -> Interval:
    """Return the mean over pairs of units, with its interval from three units on."""

    def mean(left: np.ndarray) -> np.ndarray:
        return transfer.off_diagonal(matrix[np.ix_(left, left)]).mean()

    if len(matrix) < 3:
        return Interval(mean(np.arange(len(matrix))), np.array(np.nan), np.array(np.nan))
    return random_effects.jackknife(mean, len(matrix), level, limits=(-1, 1))
