"""Phases: the parts of a training, each with an optimizer, a learning rate and a schedule anew.

A recipe without `phases` is one phase. All here is a function of the recipe, the epoch and the rows
of history.csv before it, so a resumed run is in the phase in which it was.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect
from collections.abc import Sequence

from cobaye import recipes
from cobaye.training import schedules
from cobaye.training.history import Row


def phases_of(optimizer: recipes.Optimizer) -> tuple[recipes.Phase, ...]:
    """Return the phases of a recipe, at least one; without `phases`, λ acts in it."""
    alone = recipes.Phase(optimizer.algorithm, optimizer.learning_rate, weight_decay=True)
    return optimizer.phases or (alone,)


def begins(optimizer: recipes.Optimizer) -> list[int]:
    """Return how many epochs are before each phase."""
    return [0, *itertools.accumulate(phase.epochs for phase in optimizer.phases[:-1])]


def number(optimizer: recipes.Optimizer, epoch: int) -> int:
    """Return the place, from 0 on, of the phase of an epoch; 1 is the first epoch."""
    return max(bisect(begins(optimizer), epoch - 1) - 1, 0)


def learning_rate(optimizer: recipes.Optimizer, epoch: int, rows: Sequence[Row] = ()) -> float:
    """Return the learning rate of an epoch, 1 being the first, after the rows of those before.

    The schedule begins anew in each phase. NaN for an optimizer that has none.
    """
    place = number(optimizer, epoch)
    before = begins(optimizer)[place]
    rate, epochs = phases_of(optimizer)[place].learning_rate, phases_of(optimizer)[place].epochs
    if rate is None:
        return math.nan
    epochs = epochs or optimizer.epochs - before
    return rate * schedules.factor(optimizer.schedule, epoch - before, epochs, rows[before:])


def last(optimizer: recipes.Optimizer, rows: Sequence[Row]) -> Sequence[Row]:
    """Return those rows, of epochs 1, 2, …, that are of the last phase."""
    return rows[begins(optimizer)[-1] :]
