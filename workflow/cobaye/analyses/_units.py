"""The backbones or seeds of a study as units: one sweep each, of the same images and λ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses._sweep_view import View
from cobaye.analyses._sweeps import Group, Predictions, Sweep
from cobaye.errors import DataError
from cobaye.recipes.study import model_and_backbone
from cobaye.statistics import random_effects


@dataclass(frozen=True)
class Units:
    """The backbones of one (model, optimizer), or the seeds of one without several backbones.

    group: model, without its backbone, and optimizer. factor: what a unit is, ``backbone`` or
    ``seed``. names: of the units. views: of each unit, all seeds of a backbone together. labels: of
    the λ.
    """

    group: Group
    factor: str
    names: list[str]
    views: list[View]
    labels: list[str]

    @property
    def weight_decays(self) -> np.ndarray:
        """The λ, (M,), rising."""
        return np.array([float(label) for label in self.labels])

    @property
    def reference(self) -> int:
        """The place of the λ of lowest loss on val, mean over units; ties to the larger λ."""
        means = np.mean([view.losses["val"].values.mean(axis=0) for view in self.views], axis=0)
        return len(means) - 1 - int(np.argmin(means[::-1]))

    def moments(self) -> random_effects.Moments:
        """Return the moments of the differences on test from the λ `reference`."""
        test = [view.sweep.splits["test"] for view in self.views]
        loss = np.concatenate([each.loss for each in test]).astype(np.float64)
        differences = loss - loss[:, [self.reference]]
        return random_effects.moments(differences, test[0].labels, self.views[0].classes)

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Return a table of rows, model and optimizer before them."""
        table = pd.DataFrame(rows)
        table.insert(0, "model", self.group[0])
        table.insert(1, "optimizer", self.group[1])
        return table


def units(sweeps: Sequence[Sweep], names: Sequence[str], level: float, seed: int) -> list[Units]:
    """Return the units of each (model, optimizer) that has two or more, in the order of the config.

    Backbones count with the seeds that all of them have, and λ of which no such run diverged.
    names: of the classes. Raises DataError where the backbones have features of different images.
    """
    groups: dict[Group, dict[str, Sweep]] = {}
    for sweep in sweeps:
        model, backbone = model_and_backbone(sweep.group[0])
        groups.setdefault((model, sweep.group[1]), {})[backbone] = sweep
    found = []
    for group, parts in groups.items():
        factor = "backbone"
        if len(parts) < 2:
            factor, (sweep,) = "seed", parts.values()
            parts = {f"{each}": _only(sweep, sweep.labels, [each]) for each in sweep.seeds}
        _refuse_other_images(group, parts)
        balanced = _balanced(parts, factor)
        labels = next(iter(balanced.values())).labels
        if len(parts) > 1 and labels:
            views = [View(part, list(names), 0, 0, level, seed) for part in balanced.values()]
            found.append(Units(group, factor, list(parts), views, labels))
    return found


def _refuse_other_images(group: Group, parts: Mapping[str, Sweep]) -> None:
    """Raise DataError unless all units have the same labels in the same order."""
    (first, one), *others = parts.items()
    for split in ("val", "test"):
        for name, other in others:
            if not np.array_equal(one.splits[split].labels, other.splits[split].labels):
                raise DataError(
                    f"analyses.backbones: {group[0]}: {first} and {name} have features of "
                    f"different images of {split}: one may have skipped unreadable files"
                )


def _balanced(parts: Mapping[str, Sweep], factor: str) -> dict[str, Sweep]:
    """Return the units with the seeds that all have, and the λ at which all runs are finite."""
    shared = set.intersection(*(set(part.seeds) for part in parts.values()))
    seeds = {
        name: part.seeds if factor == "seed" else sorted(shared) for name, part in parts.items()
    }
    labels = [
        label
        for label in next(iter(parts.values())).labels
        if all(_is_finite(part, label, seeds[name]) for name, part in parts.items())
    ]
    return {name: _only(part, labels, seeds[name]) for name, part in parts.items()}


def _is_finite(sweep: Sweep, label: str, seeds: Sequence[int]) -> bool:
    if label not in sweep.labels or not seeds:
        return False
    places = [sweep.seeds.index(seed) for seed in seeds]
    return bool(sweep.splits["val"].finite[places, sweep.labels.index(label)].all())


def _only(sweep: Sweep, labels: Sequence[str], seeds: Sequence[int]) -> Sweep:
    """Return some λ and seeds of a sweep."""
    square = np.ix_(
        [sweep.seeds.index(seed) for seed in seeds], [sweep.labels.index(each) for each in labels]
    )
    splits = {
        name: Predictions(each.labels, each.loss[square], each.predicted[square])
        for name, each in sweep.splits.items()
    }
    return dataclasses.replace(sweep, labels=list(labels), seeds=list(seeds), splits=splits)
