"""Accuracy and loss against epochs, one curve per configuration (S1.3, S1.7, S3.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _configuration_curves, _epoch_curves, _panels

NAMES = {"optimizer-curves": {}}
TABLES = ("history", "metrics", "runs", "best-lambda")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True


@dataclass(frozen=True)
class Options:
    """The held-out split beside train, and how its axes are cut."""

    #: Held-out split.
    split: Literal["val", "test"] = "test"
    #: First epoch that is shown.
    first_epoch: int = 1
    #: The loss on a logarithmic axis.
    log_loss: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw train above the held-out split, accuracy left of loss."""
    configurations = _panels.configurations(tables["runs"])
    legend = max(0.8, 0.15 + 0.07 * len(configurations))
    fig, axes = _panels.grid(2 * bool(configurations), 2, 1.8, legend)
    if not configurations:
        return fig
    history, metrics = (
        table[table["epoch"] >= options.first_epoch]
        for table in (tables["history"], tables["metrics"])
    )
    shown = {"train": history, options.split: metrics[metrics["split"] == options.split]}
    words = [_panels.loss_words(tables, configuration) for configuration in configurations]
    one = words[0] if all(curves == words[0] for curves in words) else {"loss": "loss", "unit": ""}
    for row, (split, table) in zip(axes, shown.items(), strict=True):
        quantities = [
            _epoch_curves.Quantity("accuracy", f"accuracy on {split} (%)", 100),
            _epoch_curves.Quantity(
                "loss", f"mean {one['loss']}\non {split}{one['unit']}", log=options.log_loss
            ),
        ]
        columns = [
            _configuration_curves.curves(table, tables, configurations, quantity)
            for quantity in quantities
        ]
        for ax, quantity, curves in zip(row, quantities, columns, strict=True):
            _configuration_curves.draw(ax, curves, quantity)
    _configuration_curves.legend(fig, tables, columns[0], options.split)
    return fig
