"""The ways that `how-many` tries: groups of classes that share a λ, and λ predicted from traits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cobaye import recipes
from cobaye.analyses._sweep_view import View
from cobaye.analyses._sweeps import Group, Sweep
from cobaye.data import splits
from cobaye.errors import DataError, nearest
from cobaye.models.scoring import BLOCK
from cobaye.statistics import groups, traits
from cobaye.statistics.choices import Procedure
from cobaye.storage import finished_runs
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import training_recipe

# A grouping's name and its number of groups.
Key = tuple[str, int]
# Networks whose inputs are what the last layer reads.
_LAST_LAYER = ("linear", "perceptron")
# Classes that a half must have, for a curve to be fitted to it.
_FEWEST = 4


def superclasses(given: Mapping[str, Any], names: Sequence[str]) -> np.ndarray | None:
    """Return each class's group, (K,); None if none are given.

    Raises DataError for a class that the dataset has not, or that stands in two groups.
    """
    if not given:
        return None
    group = np.full(len(names), len(given))
    place = {name: label for label, name in enumerate(names)}
    for number, (title, members) in enumerate(given.items()):
        for name in map(str, members):
            where = f"analyses.how-many.superclasses.{title}: {name!r}"
            if name not in place:
                raise DataError(f"{where} is no class of the dataset: {nearest(name, names)}")
            if group[place[name]] < len(given):
                raise DataError(f"{where} is in another superclass too")
            group[place[name]] = number
    return group


def procedures(
    view: View,
    known: np.ndarray,
    given: np.ndarray | None,
    separation: np.ndarray | None,
    halvings: int,
) -> dict[Key, Procedure]:
    """Return every way of choosing, for the classes that are known in val and test.

    known: (K,) bool. given: superclasses, (K,). separation: (K,), where it is known.
    """
    val, count = view.losses["val"].selected(known), int(known.sum())
    train = view.losses["train"].selected(known)
    seen = bool(train.counts.all())
    orders = {
        "confusion": groups.by_confusion(_confusion(view)[np.ix_(known, known)]),
        "random": view.rng("random groups").permutation(count),
    }
    if seen:
        hard = train.means[:, view.reference]
        orders = {"difficulty": np.argsort(hard, kind="stable"), **orders}
    found = _grouped(view, known, orders)
    if given is not None:
        group = np.unique(given[known], return_inverse=True)[1]
        number = int(group.max()) + 1
        found["superclasses", number] = groups.by_groups(val, group, view.reference)
    if seen and count >= 2 * _FEWEST:
        halves = traits.halvings(count, halvings, view.rng("halvings"))
        by = {"margin": traits.margins(train.with_values(train.values[:, :1]))}
        if separation is not None:
            near = separation[known]
            by["separation"] = np.log(np.where(near > 0, near, np.nan))
        for name, trait in by.items():
            own = np.column_stack([np.log(train.counts), trait])
            found[name, count] = traits.by_traits(val, own, halves)
    return found


def _grouped(
    view: View, known: np.ndarray, orders: Mapping[str, np.ndarray]
) -> dict[Key, Procedure]:
    """Return λ by curves, and by groups of equal size along each order, for 1, 2, 4, … groups."""
    val, reference = view.losses["val"].selected(known), view.reference
    count = len(val.counts)
    numbers = groups.numbers(count)
    curves = {number: groups.by_curves(val, reference, number) for number in numbers}
    curves |= {number: curves[count] for number in numbers if number >= len(view.sweep.labels)}
    found: dict[Key, Procedure] = {("curves", number): curves[number] for number in numbers}
    for name, order in orders.items():
        for number in numbers:
            group = groups.blocks(order, number)
            # With one group, and with a group per class, all groupings are one.
            shared = number in (1, count)
            own = curves[number] if shared else groups.by_groups(val, group, reference)
            found[name, number] = own
    return found


def _confusion(view: View) -> np.ndarray:
    """Return how many val images of each class are given each class at the best λ, all seeds."""
    val, counts = view.sweep.splits["val"], np.zeros((view.classes, view.classes))
    for seed in np.flatnonzero(val.finite[:, view.reference]):
        np.add.at(counts, (val.labels, val.predicted[seed, view.reference]), 1)
    return counts


def separations(job: Job, sweeps: Sequence[Sweep]) -> dict[Group, np.ndarray]:
    """Return, by configuration, how near each class is to another in what its last layer reads.

    Of the training images, before any last layer is trained: `traits.separation`, (K,).
    Configurations of other networks are left out. Features are read by memory map.
    """
    found, by_data = {}, {}
    for sweep in sweeps:
        runs = (run for run in job.recipe["runs"] if run["model"] == sweep.group[0])
        recipe = training_recipe(finished_runs.finished(job, next(runs)).trained)
        if recipe["model"]["kind"] not in _LAST_LAYER:
            continue
        data = recipes.parse(recipes.Data, recipe["data"])
        if data not in by_data:
            split = splits.load(data, "train", job.root, memory=0)
            job.inputs |= split.manifest
            by_data[data] = traits.separation(*_moments(split))
        found[sweep.group] = by_data[data]
    return found


def _moments(split: splits.Split) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's mean input, (K, D), and the trace of its covariance, (K,); NaN: none."""
    counts = torch.bincount(split.labels, minlength=split.classes).double()
    sums, squares = None, torch.zeros(split.classes, dtype=torch.float64)
    for rows, labels in zip(split.inputs.split(BLOCK), split.labels.split(BLOCK), strict=True):
        inputs = rows.flatten(1).double()
        if sums is None:
            sums = torch.zeros(split.classes, inputs.shape[1], dtype=torch.float64)
        sums.index_add_(0, labels, inputs)
        squares.index_add_(0, labels, inputs.square().sum(1))
    means = sums / counts[:, None]
    return means.numpy(), (squares / counts - means.square().sum(1)).numpy()
