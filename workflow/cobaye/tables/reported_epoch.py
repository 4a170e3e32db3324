"""The epoch of a run whose weights stand for it: the last, or the best on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from cobaye.tables.reading import KEYS


def best_on_val(losses: Mapping[int, float]) -> int | None:
    """Return the epoch of lowest mean validation loss, the earliest of equals; None without one.

    losses: epoch → loss. Epoch 0, the initial weights, is no training's result; NaN is no loss.
    """
    trained = {epoch: loss for epoch, loss in losses.items() if epoch and not math.isnan(loss)}
    return min(sorted(trained), key=trained.__getitem__, default=None)


def of_runs(runs: pd.DataFrame) -> pd.Series:
    """Return the reported epoch of each row of the table `runs`.

    The table has a column `epoch` where the study chooses it.
    """
    return runs["epoch"] if "epoch" in runs else runs["epochs"]


def rows(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table by run and epoch that are of the reported epoch of a run."""
    reported = runs[KEYS].assign(epoch=of_runs(runs))
    return table.merge(reported, on=[*KEYS, "epoch"])


def words(runs: pd.DataFrame) -> str:
    """Return which epoch is reported of the runs of a study."""
    return "the epoch of lowest loss on val" if "epoch" in runs else "the last epoch"
