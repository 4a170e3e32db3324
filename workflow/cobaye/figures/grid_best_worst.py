"""The best and the worst trials of a grid, as a table (S3, tables 2.1, 3.1)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels, _style

NAMES = {"grid-best-worst": {}}
TABLES = ("grid",)

_ROW, _LINE = 0.18, 0.13  # heights in inches: of a row, of a line of the heads
_WIDEST = 12  # letters of a line of the heads
_GAP = "…"


@dataclass(frozen=True)
class Options:
    """How many rows of each, and who is compared with whom."""

    #: Best trials.
    best: int = 5
    #: Worst trials.
    worst: int = 5
    #: Whether networks with different numbers of hidden layers stand apart, each number with its
    #: best and its worst trials.
    by_depth: bool = True

    def __post_init__(self):
        if self.best < 1 or self.worst < 0:
            raise ValueError("best must be at least 1, and worst at least 0")


def parts(table: pd.DataFrame, by_depth: bool) -> dict[str, pd.DataFrame]:
    """Return heading → trials: one part without a heading, unless depths differ and are apart."""
    widths = [column for column in table.columns if column.startswith("width_")]
    depths = table[widths].notna().sum(axis=1)
    if not by_depth or depths.nunique() < 2:
        return {"": table}
    return {
        f"{depth} hidden layer{'s' * (depth != 1)}": rows for depth, rows in table.groupby(depths)
    }


def rows(part: pd.DataFrame, columns: Sequence[str], options: Options) -> list[list[str]]:
    """Return the rows of a part as text; ``…`` stands between the best and the worst.

    columns: the hyperparameters that are shown.
    """
    cells = [
        [
            _grid_words.text(row["rank"]),
            *(_grid_words.text(row[column]) for column in columns),
            f"{100 * row['val_accuracy']:.2f}",
            _grid_words.text(round(float(row["val_loss"]), 4)),
            str(row["stopped"]),
        ]
        for _, row in _grid_words.ranked(part).iterrows()
    ]
    if len(cells) <= options.best + options.worst:
        return cells
    worst = cells[len(cells) - options.worst :]
    return [*cells[: options.best], [_GAP] * (len(columns) + 4), *worst]


def heads(columns: Sequence[str]) -> list[str]:
    """Return the heads of the columns, in lines that fit."""
    names = map(_grid_words.name, columns)
    return [
        textwrap.fill(name, _WIDEST)
        for name in ("rank", *names, "accuracy on val (%)", "loss on val", "ended by")
    ]


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the table: under each heading its best trials, then its worst, in red."""
    table = tables["grid"]
    if not len(table):
        return _panels.grid(0)[0]
    columns = _grid_words.varied(table)
    shown = parts(table, options.by_depth)
    texts = {heading: rows(part, columns, options) for heading, part in shown.items()}
    top = heads(columns)
    lines = sum(map(len, texts.values())) + len(texts) * bool(texts.keys() - {""})
    above = _LINE * max(head.count("\n") + 1 for head in top) / _ROW + 0.4
    fig, axes = _panels.grid(1, 1, _ROW * (lines + above) + 0.1)
    ax, size = axes[0, 0], 7 if len(top) <= 7 else 6
    ax.set_axis_off()
    ax.set(xlim=(0, len(top)), ylim=(-lines - 0.2, above))
    place = {"ha": "center", "fontsize": size}
    for column, head in enumerate(top):
        ax.text(column + 0.5, 0.25, head, va="bottom", linespacing=1.1, **place)
    line = 0
    for heading, cells in texts.items():
        if heading:
            ax.text(0.1, -line - 0.5, heading, va="center", fontsize=size, fontweight="bold")
            line += 1
        for number, row in enumerate(cells):
            colour = _style.INK if number <= options.best else _style.ACCENT
            for column, text in enumerate(row):
                ax.text(column + 0.5, -line - 0.5, text, va="center", color=colour, **place)
            line += 1
    ax.axhline(0, color=_style.INK, linewidth=0.8)
    return fig
