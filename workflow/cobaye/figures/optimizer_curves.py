"""Accuracy and loss against epochs, one curve per (model, optimizer) (S1.3, S1.7, S3.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _curves, _pairs, _panels

NAMES = {"optimizer-curves": {}}
TABLES = ("history", "metrics", "runs", "best-lambda")


@dataclass(frozen=True)
class Options:
    """What a study may set: the held-out split beside train, and how its axes are cut."""

    split: Literal["val", "test"] = "test"
    first_epoch: int = 1
    log_loss: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw train above the held-out split, accuracy left of loss."""
    groups = _panels.groups(tables["runs"])
    rows = [_panels.Group(split, "") for split in ("train", options.split)] if groups else []
    fig, axes = _panels.grid(rows, 2, size=(7.6, 2.3))
    if not groups:
        return fig
    history, metrics = (
        table[table["epoch"] >= options.first_epoch]
        for table in (tables["history"], tables["metrics"])
    )
    shown = {"train": history, options.split: metrics[metrics["split"] == options.split]}
    words = [_panels.loss_words(tables, group) for group in groups]
    one = words[0] if all(each == words[0] for each in words) else {"loss": "loss", "unit": ""}
    for row, (split, table) in zip(axes, shown.items(), strict=True):
        quantities = [
            _curves.Quantity("accuracy", f"accuracy on {split} (%)", 100),
            _curves.Quantity(
                "loss", f"mean {one['loss']}\non {split}{one['unit']}", log=options.log_loss
            ),
        ]
        found = [_pairs.curves(table, tables, groups, quantity) for quantity in quantities]
        for ax, quantity, each in zip(row, quantities, found, strict=True):
            _pairs.draw(ax, each, quantity)
    _pairs.legend(fig, tables, found[0], options.split)
    return fig
