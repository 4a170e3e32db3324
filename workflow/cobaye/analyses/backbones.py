"""Backbones, or seeds, as random effects: variance shares, intervals, transfer of λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses import _sweeps, _transfer, _units
from cobaye.data import datasets
from cobaye.statistics import random_effects, transfer
from cobaye.statistics.effects import Interval
from cobaye.storage.jobs import Job
from cobaye.tables import reading

READS_RUNS = ("predictions.parquet",)
# The rivals of one λ, where the study has them.
READS_TABLES = {"rivals": "rivals"}
# It is refused in a study with one backbone and one seed.
NEEDS_UNITS = True
TABLES = {
    "variance-shares": "variance-shares.csv",
    "over-backbones": "over-backbones.csv",
    "transfer": "transfer.csv",
}
_FINEST = 1e-12  # variances below count as none


@dataclass(frozen=True)
class Options:
    """The halves, and the intervals."""

    #: Random halves of val for correlations without noise.
    halvings: int = 50
    #: Level of all intervals and bands.
    level: float = 0.95
    #: Seed of the halves.
    seed: int = 0

    def __post_init__(self):
        if self.halvings < 1:
            raise ValueError("halvings: at least 1")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0:
            raise ValueError("seed: not below 0")


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the tables of all models and optimizers with two or more backbones or seeds."""
    dataset = job.recipe["data"]["dataset"]
    job.read("prepare_dataset", {"dataset": dataset})
    names = datasets.names(dataset, job.root)
    read = [table for table in job.recipe["tables"] if table in READS_TABLES.values()]
    rivals = reading.read_tables(job, read).get("rivals")
    return tables(_sweeps.sweeps(job), names, options, rivals)


def tables(
    sweeps: Sequence[_sweeps.Sweep],
    names: Sequence[str],
    options: Options,
    rivals: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Return all tables, by name. names: of the classes. rivals: the table, if there is one."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for units in _units.units(sweeps, names, options.level, options.seed):
        pairs = _transfer.rows(units, options.halvings, options.seed)
        parts["variance-shares"].append(units.frame(_shares(units, options.level)))
        parts["transfer"].append(units.frame(pairs))
        intervals = {
            **_quantities(units, rivals, options.level),
            **_transfer.summary(units, pairs, options.level),
        }
        parts["over-backbones"].append(units.frame(_rows(units, intervals)))
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return {
        name: pd.concat(frames, ignore_index=True) if frames else empty
        for name, frames in parts.items()
    }


def _shares(units: _units.Units, level: float) -> list[dict[str, Any]]:
    """Return a row per λ and source; shares are of the sum of what is above 0."""
    count = len(units.names)
    found = random_effects.component_intervals(units.moments(), count, level)
    total = sum(np.maximum(each.interval.estimate, 0) for each in found.values())
    total = np.where(total > _FINEST, total, np.nan)
    return [
        {
            "weight_decay": label,
            "reference": units.labels[units.reference],
            # Units that are seeds are counted as backbones.
            "source": name.replace("backbone", units.factor),
            "variance": each.interval.estimate[place],
            "low": each.interval.low[place],
            "high": each.interval.high[place],
            "share": max(each.interval.estimate[place], 0) / total[place],
            "units": count,
            "df": each.freedom[place],
        }
        for place, label in enumerate(units.labels)
        for name, each in found.items()
    ]


def _quantities(
    units: _units.Units, rivals: pd.DataFrame | None, level: float
) -> dict[Any, Interval]:
    """Return (quantity, rival or λ) → interval over units, of what each unit has by itself."""
    by_unit = [_of_unit(units, place, rivals) for place in range(len(units.names))]
    shared = [key for key in by_unit[0] if all(key in found for found in by_unit)]
    found = {
        key: random_effects.over_units(np.array([each[key] for each in by_unit]), level)
        for key in shared
    }
    return found | _correlation_of_effects(units, level)


def _of_unit(units: _units.Units, place: int, rivals: pd.DataFrame | None) -> dict[Any, float]:
    """Return (quantity, rival or λ) → value of one unit. λ is against the unit's own best."""
    view, test = units.views[place], units.views[place].sweep.splits["test"]
    logs = transfer.log_decays(units.weight_decays)
    accuracy = view.correct["test"].values[:, view.reference].mean()
    found = {
        ("log₁₀ of the best λ", ""): logs[view.reference],
        ("test loss at the best λ", ""): view.losses["test"].values[:, view.reference].mean(),
        ("test accuracy at the best λ", ""): accuracy,
    }
    loss = test.mean_loss()
    own = random_effects.moments((loss - loss[view.reference])[None], test.labels, view.classes)
    variances = random_effects.components(own, 1)["class"]
    for label, variance in zip(units.labels, variances, strict=True):
        found["sd between classes", label] = np.sqrt(max(variance, 0))
    if rivals is not None and units.factor == "backbone":
        group = dict(zip(reading.CONFIGURATION, view.sweep.group, strict=True))
        own_rivals = rivals[(rivals[list(group)] == pd.Series(group)).all(axis=1)]
        for _, row in own_rivals[own_rivals["loss_difference"].notna()].iterrows():
            for measure in ("loss", "accuracy"):
                key = f"change of {measure} beside one λ", row["rival"]
                found[key] = row[f"{measure}_difference"]
    return found


def _correlation_of_effects(units: _units.Units, level: float) -> dict[Any, Interval]:
    """Return, per λ, the correlation over classes of the true effects under two units."""
    moments, count = units.moments(), len(units.names)
    places = np.arange(moments.cells.shape[2]).reshape(count, -1)

    def correlation(left: np.ndarray) -> np.ndarray:
        found = random_effects.components(moments.of(places[left].ravel()), len(left))
        between = found["class"] + found["class × backbone"]
        return found["class"] / np.where(between > _FINEST, between, np.nan)

    if count < 3:
        estimate = correlation(np.arange(count))
        interval = Interval(estimate, *np.full((2, len(estimate)), np.nan))
    else:
        interval = random_effects.jackknife(correlation, count, level, limits=(-1, 1))
    return {
        ("correlation of the effects on classes", label): Interval(
            interval.estimate[place], interval.low[place], interval.high[place]
        )
        for place, label in enumerate(units.labels)
    }


def _rows(units: _units.Units, intervals: Mapping[Any, Interval]) -> list[dict[str, Any]]:
    """Return a row per quantity: of a way or of a λ, if it is of one."""
    return [
        {
            "quantity": quantity,
            "choice": "" if of in units.labels else of,
            "weight_decay": of if of in units.labels else "",
            "mean": float(each.estimate),
            "low": float(each.low),
            "high": float(each.high),
            "unit": units.factor,
            "units": len(units.names),
            "df": len(units.names) - 1,
        }
        for (quantity, of), each in intervals.items()
    ]
