"""The table of rivals: each judged on test beside the best single λ, paired by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cobaye.randomness import derived_seed
from cobaye.statistics import choices, compared, effects
from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import by_class

# What float32 losses tell apart: an optimum is the same from every start.
_RESOLVED = 1e-5
# Measures with an interval over classes too.
OVER_CLASSES = ("loss", "accuracy")


@dataclass(frozen=True)
class Scored:
    """A rival's scores. val: seed → mean loss; empty where val is no judge.

    loss, correct: seed → (N,) of the test images, nats and 0 or 1. Both are empty where no run
    stayed finite.
    """

    name: str
    chosen: str
    parameters: int
    val: Mapping[int, float]
    loss: Mapping[int, np.ndarray]
    correct: Mapping[int, np.ndarray]

    def at(self, rows: np.ndarray) -> Scored:
        """Return the scores on the test images where `rows`, (N,), is true."""
        loss, correct = (
            {seed: values[rows] for seed, values in each.items()}
            for each in (self.loss, self.correct)
        )
        return replace(self, loss=loss, correct=correct)


def table(
    scored: Sequence[Scored],
    labels: np.ndarray,
    classes: int,
    *,
    draws: int,
    level: float,
    seed: int,
    name: str,
) -> pd.DataFrame:
    """Return a row per rival: scores, and differences from the first, the best single λ.

    labels: (N,) of the test images. name: of the random draws. p: of the difference in test loss,
    by Holm's method over the rivals. Intervals named `…_classes_…` are for classes drawn anew, the
    others for images; those over seeds are t intervals, where there are several that differ.
    """
    finite = [each for each in scored if each.loss]
    losses, correct = (
        by_class(np.array([_mean(values(each)) for each in finite]), labels, classes)
        for values in (lambda each: each.loss, lambda each: each.correct)
    )
    rng = np.random.default_rng(derived_seed(name, seed))
    comparison = compared.compare(losses, correct, draws, rng, level)
    p = _p_values(comparison)
    over = {"loss": compared.over_classes(losses, level)}
    over["accuracy"] = compared.over_classes(correct, level)
    rows = []
    for each in scored:
        row = {"rival": each.name, "chosen": each.chosen, "parameters": each.parameters}
        row |= {"seeds": len(each.loss), "val_loss": np.nan}
        if each.loss:
            place = finite.index(each)
            row["val_loss"] = np.mean(list(each.val.values())) if each.val else np.nan
            row |= _differences(comparison, over, place)
            row["seeds_low"], row["seeds_high"] = _over_seeds(each, finite[0], level)
            row["p"] = p[place]
        rows.append(row | {"verdict": verdict(row, 1 - level)})
    return pd.DataFrame(rows)


def _mean(by_seed: Mapping[int, np.ndarray]) -> np.ndarray:
    return np.mean(list(by_seed.values()), axis=0, dtype=np.float64)


def _p_values(comparison: compared.Compared) -> np.ndarray:
    """Return Holm's p-values, (M,); NaN of the first."""
    # NaN, of no difference at all, counts as a test that finds none.
    alone = np.nan_to_num(comparison.p_values("loss")[1:, None], nan=1.0)
    return np.array([np.nan, *effects.adjusted(alone)[1][:, 0]])


def _differences(
    comparison: compared.Compared, over: Mapping[str, Interval], place: int
) -> dict[str, float]:
    """Return a rival's scores, and the differences from the first with their intervals."""
    row = {}
    for measure in compared.MEASURES:
        row[measure] = comparison.values[measure][place]
        row |= _ends(comparison.differences[measure], measure, place, "difference")
        if measure in OVER_CLASSES:
            row |= _ends(over[measure], f"{measure}_classes", place)
    return row


def _ends(interval: Interval, key: str, place: int, estimate: str = "") -> dict[str, float]:
    """Return the columns of an interval; empty for the first rival, which differs from none."""
    named = {estimate: interval.estimate} if estimate else {}
    named |= {"low": interval.low, "high": interval.high}
    return {f"{key}_{end}": value[place] if place else np.nan for end, value in named.items()}


def verdict(row: Mapping[str, Any], alpha: float) -> str:
    """Return a row's verdict, in words: whether a rival beats one λ for all, in mean test loss."""
    if not row["seeds"]:
        return "no run stayed finite"
    if row["rival"] == "one":
        return "the best single λ, chosen on val"
    if not row["p"] <= alpha or abs(row["loss_difference"]) < _RESOLVED:
        return "not known to differ from one λ"
    return "beats one λ" if row["loss_difference"] < 0 else "worse than one λ"


def _over_seeds(rival: Scored, one: Scored, level: float) -> tuple[float, float]:
    """Return the ends of the t interval of the test loss's difference over seeds; NaN: none."""
    shared = [seed for seed in one.loss if seed in rival.loss]
    if rival is one or len(shared) < 2:
        return np.nan, np.nan
    differences = np.array([rival.loss[s].mean() - one.loss[s].mean() for s in shared])
    if np.ptp(differences) < _RESOLVED:
        return np.nan, np.nan
    interval = choices.over_seeds(differences, level)
    return float(interval.low), float(interval.high)
