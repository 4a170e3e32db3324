"""Accuracy, loss and objective on train against epochs, one curve per λ (S0, fig. 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _epoch_curves

NAMES = {"train-curves": {}}
TABLES = ("history", "runs", "best-lambda", "baseline")


@dataclass(frozen=True)
class Options:
    """The axes."""

    #: First epoch that is shown.
    first_epoch: int = 1
    #: The loss on a logarithmic axis.
    log_loss: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the means over each epoch, from the history of each run."""
    log = options.log_loss
    quantities = [
        _epoch_curves.Quantity("accuracy", "accuracy on train (%)", 100, ends="{:.1f} %"),
        _epoch_curves.Quantity("loss", "mean {loss} on train{unit}", log=log),
        _epoch_curves.Quantity("objective", "objective on train{unit}", log=log),
    ]
    history = tables["history"]
    if (history["penalty"] == 0).all():  # then the objective repeats the loss
        quantities.pop()
    history = history[history["epoch"] >= options.first_epoch]
    return _epoch_curves.figure(history, tables, quantities, height=2.1, split="train")
