"""When a training stops, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cobaye import recipes
from cobaye.training import phases
from cobaye.training.history import Row, improves

ALL_EPOCHS = "all epochs"
DIVERGED = "diverged in epoch"
WORDS = {
    "loss": "loss has not fallen",
    "accuracy": "accuracy has not risen",
    "val_loss": "val loss has not fallen",
    "val_accuracy": "val accuracy has not risen",
}


def reason(optimizer: recipes.Optimizer, history: Sequence[Row]) -> str | None:
    """Return why a training ends after the last row of its history (epochs 1, 2, …), or None.

    A divergence is named before a stopping rule, and a stopping rule before the end of the epochs.
    Stopping rules count the epochs of the last phase only.
    """
    last, epoch = history[-1], len(history)
    counted = phases.last(optimizer, history)
    if not all(math.isfinite(last[key]) for key in ("loss", "penalty", "weight_l2")):
        return f"{DIVERGED} {epoch}"
    wanted, early = optimizer.stop.train_accuracy, optimizer.stop.early
    if counted and wanted is not None and last["accuracy"] >= wanted:
        return f"training accuracy {wanted:g} reached"
    if early is not None and waited(early, counted) >= early.patience:
        epochs = "1 epoch" if early.patience == 1 else f"{early.patience} epochs"
        return f"early: {WORDS[early.quantity]} for {epochs}"
    return ALL_EPOCHS if epoch == optimizer.epochs else None


def is_finite(stopped: str) -> bool:
    """Tell whether a run that stopped for this reason has finite weights."""
    return not stopped.startswith(DIVERGED)


def waited(early: recipes.EarlyStop, history: Sequence[Row]) -> int:
    """Return the number of epochs since the last improvement."""
    best, since = None, 0
    for row in history:
        value = row[early.quantity]
        since += 1
        if improves(early.quantity, value, best, early.min_delta):
            best, since = value, 0
    return since
