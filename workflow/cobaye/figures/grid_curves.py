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
_COLUMNS = 3


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
    """Return the rows of each part; a grid too small for all of them shows no row twice.

    A run that is read at several numbers of epochs is shown once, with its best.
    """
    order = _grid_words.ranked(table).drop_duplicates([*_grid_words.KEYS])
    best, rest = order.iloc[: options.best], order.iloc[options.best :]
    end = max(len(rest) - options.worst, 0)
    rest, worst = rest.iloc[:end], rest.iloc[end:]
    start = max((len(order) - options.median) // 2 - len(best), 0)
    return {"best": best, "median": rest.iloc[start : start + options.median], "worst": worst}


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per trial: the best, then those in the middle, then the worst."""
    table = tables["grid"]
    parts = {} if table.empty else chosen(table, options)
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    shown = [(part, row) for part, rows in parts.items() for _, row in rows.iterrows()]
    columns = min(len(shown), _COLUMNS) or 1
    fig, axes = _panels.grid(-(-len(shown) // columns), columns, 1.75, legend=0.3)
    crosses, varied = False, _grid_words.varied(table) if shown else []
    for ax, (part, row) in zip(axes.flat, shown, strict=False):
        crosses |= panel(ax, row, tables["history"], tables["metrics"], varied)
        ax.set_title(f"{part}: {ax.get_title('left')}", loc="left", fontsize=7)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    for line in axes if shown else ():
        line[0].set_ylabel("mean loss (nats)")
    if shown:
        legend(fig, crosses)
    return fig
