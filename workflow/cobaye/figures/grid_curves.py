"""Loss against epochs for the best, the median and the worst of a grid (S3, figs. 2.5 to 2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels
from cobaye.figures._trial_curves import legend, panel

NAMES = {"grid-curves": {}}
TABLES = ("grid", "history", "metrics")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True


@dataclass(frozen=True)
class Options:
    """How many of each are shown."""

    #: Best trials.
    best: int = 3
    #: Trials about the median.
    median: int = 3
    #: Worst trials.
    worst: int = 5

    def __post_init__(self):
        if min(self.best, self.median, self.worst) < 0 or self.best + self.worst < 1:
            raise ValueError("best, median and worst must be at least 0, and not all of them 0")


def chosen(table: pd.DataFrame, options: Options) -> dict[str, pd.DataFrame]:
    """Return the rows of each part; a grid too small for all of them shows no row twice."""
    order = _grid_words.ranked(table)
    best, rest = order.iloc[: options.best], order.iloc[options.best :]
    end = max(len(rest) - options.worst, 0)
    rest, worst = rest.iloc[:end], rest.iloc[end:]
    start = max((len(order) - options.median) // 2 - len(best), 0)
    return {"best": best, "median": rest.iloc[start : start + options.median], "worst": worst}


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per trial, a row of panels per part."""
    table = tables["grid"]
    parts = {} if table.empty else chosen(table, options)
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    columns = max((len(rows) for rows in parts.values()), default=1)
    fig, axes = _panels.grid(len(parts), columns, (max(2.1 * columns, 4.5), 2.2))
    crosses = False
    for line, (part, rows) in zip(axes, parts.items(), strict=False):
        for ax, (_, row) in zip(line, rows.iterrows(), strict=False):
            crosses |= panel(
                ax, row, tables["history"], tables["metrics"], _grid_words.varied(table)
            )
        for ax in line[len(rows) :]:
            ax.set_axis_off()
        line[0].set_ylabel(f"{part}\nmean loss")
    if parts:
        legend(fig, crosses)
    return fig
