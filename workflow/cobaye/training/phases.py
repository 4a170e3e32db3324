"""Phases: stretches of a training, each with an optimizer, a learning rate and a fresh schedule.

A recipe without `phases` has one. Everything here is a function of the recipe, the epoch and the
rows of history.csv before it, so a resumed run is in the same phase as before.
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
    """Return the phases of a recipe, at least one: without `phases`, one with weight decay."""
    whole = recipes.Phase(optimizer.algorithm, optimizer.learning_rate, weight_decay=True)
    return optimizer.phases or (whole,)


def begins(optimizer: recipes.Optimizer) -> list[int]:
    """Return the number of epochs before each phase."""
    return [0, *itertools.accumulate(phase.epochs for phase in optimizer.phases[:-1])]


def number(optimizer: recipes.Optimizer, epoch: int) -> int:
    """Return the number, from 0 on, of the phase of an epoch; 1 is the first epoch."""
    return max(bisect(begins(optimizer), epoch - 1) - 1, 0)


def learning_rate(optimizer: recipes.Optimizer, epoch: int, rows: Sequence[Row] = ()) -> float:
    """Return the learning rate of an epoch, 1 being the first; NaN for an optimizer without one.

    rows: history.csv of the epochs before. The schedule begins anew in each phase.
    """
    place = number(optimizer, epoch)
    before = begins(optimizer)[place]
    rate, epochs = phases_of(optimizer)[place].learning_rate, phases_of(optimizer)[place].epochs
    if rate is None:
        return math.nan
    epochs = epochs or optimizer.epochs - before
    return rate * schedules.factor(optimizer.schedule, epoch - before, epochs, rows[before:])


def last(optimizer: recipes.Optimizer, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows of the last phase, out of those of all epochs from 1 on."""
    return rows[begins(optimizer)[-1] :]
