"""Loss against epochs: a grid's best configurations, trained for more epochs (S3, fig. 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels
from cobaye.figures._trial_curves import legend, panel

NAMES = {"derived-curves": {}}
TABLES = ("derived", "derived-history", "derived-metrics")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per run, three in a row."""
    table = tables["derived"]
    columns = min(len(table), 3) or 1
    fig, axes = _panels.grid(-(-len(table) // columns), columns, 1.9, legend=0.3)
    frames = tables["derived-history"], tables["derived-metrics"]
    varied = _grid_words.hyperparameters(table)
    crosses = [
        panel(ax, row, *frames, varied)
        for ax, (_, row) in zip(axes.flat, table.iterrows(), strict=False)
    ]
    for ax in axes.flat[len(table) :]:
        ax.set_axis_off()
    for line in axes:
        line[0].set_ylabel("mean loss (nats)")
    legend(fig, any(crosses))
    return fig
