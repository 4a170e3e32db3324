"""How many λ? The gain on test of one λ per group of classes, and of λ predicted from traits.

Losses are read off the runs of one λ each: the loss of a class is that in the run of its group's λ.
No single classifier has these losses; `class_decay.ways` trains some that have the same λ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses import _axes, _groupings, _sweeps
from cobaye.analyses._groupings import Key
from cobaye.analyses._sweep_view import View
from cobaye.data import datasets
from cobaye.recipes import axes
from cobaye.statistics import choices
from cobaye.statistics.choices import Procedure
from cobaye.statistics.effects import Interval
from cobaye.statistics.sample import Sample
from cobaye.storage.jobs import Job

READS_RUNS = ("predictions.parquet",)
# What the last layer reads, for traits of classes.
SPLITS = ("train",)
# A margin is read off it.
LOSS = "cross-entropy"
OVER = {
    "epoch": {
        "READS_TABLES": ("best-lambda",),
        "READS_RUNS": ("checkpoints",),
        "SPLITS": ("train", "val", "test"),
    },
    "learning_rate": {},
    "augmentation": {},
    "plane": {},
}
TABLES = {"how-many": "how-many.csv", "grouped-lambda": "grouped-lambda.csv"}


@dataclass(frozen=True)
class Options(axes.Over):
    """The axes, the draws, the intervals, the halves, and groups that are given."""

    #: Draws of each bootstrap.
    draws: int = 300
    #: Random halvings of the classes: λ is predicted for one half from the other, both ways.
    halvings: int = 10
    #: Level of all intervals and bands.
    level: float = 0.95
    #: Seed of all draws.
    seed: int = 0
    #: Groups that are known beforehand: name → list of classes. Classes in none are one more group.
    superclasses: dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        if self.draws < 100 or self.halvings < 1:
            raise ValueError("draws: at least 100; halvings: at least 1")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0:
            raise ValueError("seed: not below 0")
        if not all(isinstance(members, list) for members in self.superclasses.values()):
            raise ValueError("superclasses: each has a list of classes")


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the tables of a study."""
    dataset = job.recipe["data"]["dataset"]
    job.read("prepare_dataset", {"dataset": dataset})
    sweeps, names = _axes.sweeps(job, options.epochs), datasets.names(dataset, job.root)
    return tables(sweeps, names, options, _groupings.separations(job, sweeps))


def tables(
    sweeps: Sequence[_sweeps.Sweep],
    names: Sequence[str],
    options: Options,
    separations: Mapping[_sweeps.Group, np.ndarray],
) -> dict[str, pd.DataFrame]:
    """Return both tables. A configuration of one λ, or with fewer than two classes, has no rows."""
    given = _groupings.superclasses(options.superclasses, names)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for sweep in sweeps:
        view = View(sweep, list(names), options.draws, 0, options.level, options.seed)
        known = (view.losses["val"].counts > 0) & (view.losses["test"].counts > 0)
        if known.sum() < 2 or len(sweep.labels) < 2:
            continue
        separation = separations.get(sweep.group)
        procedures = _groupings.procedures(view, known, given, separation, options.halvings)
        chosen = _chosen(view, known, procedures)
        parts["how-many"].append(view.frame(_gains(view, known, procedures, chosen)))
        parts["grouped-lambda"].append(view.frame(_of_classes(view, known, chosen)))
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return {
        name: pd.concat(frames, ignore_index=True) if frames else empty
        for name, frames in parts.items()
    }


def _chosen(
    view: View, known: np.ndarray, procedures: Mapping[Key, Procedure]
) -> dict[Key, np.ndarray]:
    """Return the λ of each known class, by way; what was seen is the only draw."""
    means = [view.losses[split].selected(known).means[None] for split in ("val", "test")]
    world = (*means, np.ones((1, int(known.sum()))))
    return {key: procedure(world)[0] for key, procedure in procedures.items()}


def _drawn(
    view: View, val: Sample, test: Sample, procedures: Mapping[Key, Procedure]
) -> dict[str, dict[Key, np.ndarray]]:
    """Return the gains, (draws,), of every way: with other images, other classes, noise alone."""
    draws, reference = min(view.draws_of(val), view.draws_of(test)), view.reference
    images, classes, noise = (
        view.rng(f"how many, {name}") for name in ("images", "classes", "noise")
    )
    worlds = {
        "images": choices.other_images(val, test, reference, draws, images),
        "classes": choices.other_classes(val, test, draws, classes),
        "noise": choices.other_images(val, test, reference, draws, noise, one_curve=True),
    }
    return {name: choices.gains_of(world, val, test, procedures) for name, world in worlds.items()}


def _gains(
    view: View,
    known: np.ndarray,
    procedures: Mapping[Key, Procedure],
    chosen: Mapping[Key, np.ndarray],
) -> dict[str, Any]:
    """Return the columns of the table `how-many`."""
    val, test = (view.losses[split].selected(known) for split in ("val", "test"))
    drawn = _drawn(view, val, test, procedures)
    gains = {
        key: choices.gain(test, view.reference, places, view.level)
        for key, places in chosen.items()
    }
    rows, own = [], ("curves", int(known.sum()))
    for (grouping, number), places in chosen.items():
        key = grouping, number
        short = gains[own].estimate - gains[key].estimate
        apart = drawn["classes"][own] - drawn["classes"][key]
        rows.append(
            {
                "grouping": grouping,
                "groups": number,
                "lambdas": len(np.unique(places)),
                "classes_moved": int((places != view.reference).sum()),
                **_ends("gain", gains[key]),
                **_intervals(view, gains[key].estimate, {n: d[key] for n, d in drawn.items()}),
                **_ends("short", choices.students(short, apart.std(ddof=1), own[1], view.level)),
                "best": view.best,
                "draws": len(apart),
            }
        )
    return pd.DataFrame(rows).to_dict("list")


def _intervals(view: View, gain: float, drawn: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return what draws say of a gain: intervals, the band of noise, what would be seen."""
    images, number = drawn["images"].std(ddof=1), view.classes
    apart = drawn["classes"].std(ddof=1)
    outside = (1 - view.level) / 2
    low, high = np.quantile(drawn["noise"], [outside, 1 - outside])
    return {
        **_ends("images", choices.normal(gain, images, view.level)),
        **_ends("classes", choices.students(gain, apart, number, view.level)),
        "noise_low": low,
        "noise_high": high,
        "detectable": choices.detectable(images, view.level),
    }


def _ends(name: str, interval: Interval) -> dict[str, float]:
    """Return an interval as columns; the estimate of `gain` and `short` has a column too."""
    ends = {f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}
    return {name: float(interval.estimate), **ends} if name in ("gain", "short") else ends


def _of_classes(view: View, known: np.ndarray, chosen: Mapping[Key, np.ndarray]) -> dict[str, Any]:
    """Return the columns of `grouped-lambda`; a class that is not known gets the best λ overall."""
    labels, classes = np.array(view.sweep.labels, dtype=object), np.arange(view.classes)
    rows = []
    for (grouping, number), places in chosen.items():
        whole = np.full(view.classes, view.reference)
        whole[known] = places
        columns = {"class": classes, "name": view.names, view.sweep.axis: labels[whole]}
        rows.append(pd.DataFrame({"grouping": grouping, "groups": number, **columns}))
    return pd.concat(rows).to_dict("list")
