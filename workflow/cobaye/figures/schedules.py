"""The learning rate against epochs, beside the accuracy (S1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _configuration_curves, _epoch_curves, _panels

NAMES = {"schedules": {}}
TABLES = ("history", "metrics", "runs", "best-lambda")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True


@dataclass(frozen=True)
class Options:
    """The held-out split beside train, and the axis of the rates."""

    #: Held-out split.
    split: Literal["val", "test"] = "test"
    #: The learning rate on a logarithmic axis.
    log_rate: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw three panels, one curve per configuration in each: rate, train, held-out split."""
    configurations = _panels.configurations(tables["runs"])
    fig, axes = _panels.grid(int(bool(configurations)), 3, 2.1, legend=0.6)
    if not configurations:
        return fig
    history, metrics = (
        table[table["epoch"] >= 1] for table in (tables["history"], tables["metrics"])
    )
    held_out = metrics[metrics["split"] == options.split]
    shown = [
        (history, _epoch_curves.Quantity("learning_rate", "learning rate", log=options.log_rate)),
        (history, _epoch_curves.Quantity("accuracy", "accuracy on train (%)", 100)),
        (held_out, _epoch_curves.Quantity("accuracy", f"accuracy on {options.split} (%)", 100)),
    ]
    for ax, (table, quantity) in zip(axes[0], shown, strict=True):
        curves = _configuration_curves.curves(table, tables, configurations, quantity)
        _configuration_curves.draw(ax, curves, quantity)
    _configuration_curves.legend(fig, tables, curves, options.split)
    return fig
