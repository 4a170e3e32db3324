"""Schedules of the learning rate, one kind per file.

In: options and an epoch. Out: a factor of the first epoch's learning rate.

A kind is a file here: ``Options`` and ``factor(options, epoch, epochs)``, a pure function of the
epoch (1, 2, …), so that a resumed run needs no schedule state. A kind with ``HISTORY = True`` also
takes the rows of history.csv; its option `quantity` names the column that it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from cobaye import kinds, recipes
from cobaye.training.history import Row


def factor(schedule: recipes.Kind, epoch: int, epochs: int, history: Sequence[Row] = ()) -> float:
    """Return the learning rate of an epoch, as a multiple of the recipe's.

    history: the rows of epochs 1, 2, …, epoch − 1.
    """
    options = recipes.parse(kinds.options("schedules", schedule.kind), schedule.options)
    given = [history] if kinds.constant("schedules", schedule.kind, "HISTORY") else []
    return kinds.load("schedules", schedule.kind).factor(options, epoch, epochs, *given)
