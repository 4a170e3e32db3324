"""Schedules: the learning rate of an epoch, as a multiple of the first one's; one kind per file.

A kind is a file here: ``Options`` and ``factor(options, epoch, epochs)``, a pure function of the
epoch (1, 2, …), so that a resumed run needs no schedule state.
"""

from __future__ import annotations

from cobaye import kinds, recipes


def factor(schedule: recipes.Kind, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch over that of the recipe."""
    options = recipes.parse(kinds.options("schedules", schedule.kind), schedule.options)
    return kinds.load("schedules", schedule.kind).factor(options, epoch, epochs)
