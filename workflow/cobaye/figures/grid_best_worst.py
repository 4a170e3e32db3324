"""The best and the worst trials of a grid, as a table (S3, tables 2.1, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels, _style

NAMES = {"grid-best-worst": {}}
TABLES = ("grid",)


@dataclass(frozen=True)
class Options:
    """How many rows of each."""

    #: Best trials.
    best: int = 5
    #: Worst trials.
    worst: int = 5

    def __post_init__(self):
        if self.best < 1 or self.worst < 0:
            raise ValueError("best must be at least 1, and worst at least 0")


def rows(table: pd.DataFrame, options: Options) -> tuple[list[str], list[list[str]]]:
    """Return the heads of the columns, and the rows as text; ``…`` stands between the two parts."""
    columns = _grid_words.varied(table)
    heads = [
        "rank",
        *map(_grid_words.name, columns),
        "accuracy\non val (%)",
        "loss\non val",
        "ended by",
    ]
    order = _grid_words.ranked(table)
    cells = [
        [
            _grid_words.text(row["rank"]),
            *(_grid_words.text(row[column]) for column in columns),
            f"{100 * row['val_accuracy']:.2f}",
            _grid_words.text(round(float(row["val_loss"]), 4)),
            str(row["stopped"]),
        ]
        for _, row in order.iterrows()
    ]
    if len(cells) <= options.best + options.worst:
        return heads, cells
    worst = cells[len(cells) - options.worst :]
    return heads, [*cells[: options.best], ["…"] * len(heads), *worst]


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the table."""
    table = tables["grid"]
    if not len(table):
        return _panels.grid(0)[0]
    heads, cells = rows(table, options)
    fig, axes = _panels.grid(1, 1, 0.18 * (len(cells) + 1) + 0.5)
    ax, size = axes[0, 0], 7 if len(heads) <= 7 else 6
    ax.set_axis_off()
    ax.set(xlim=(0, len(heads)), ylim=(-len(cells) - 0.2, 1.4))
    for column, head in enumerate(heads):
        ax.text(column + 0.5, 0.25, head, ha="center", va="bottom", fontsize=size)
        for row, texts in enumerate(cells):
            colour = _style.INK if row <= options.best else _style.ACCENT
            look = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
            ax.text(column + 0.5, -row - 0.5, texts[column], **look)
    ax.axhline(0, color=_style.INK, linewidth=0.8)
    return fig
