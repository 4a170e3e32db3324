"""Validation accuracy over the widths of the hidden layers, as heat maps (S3, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels

NAMES = {"deep-widths": {}}
TABLES = ("grid",)


@dataclass(frozen=True)
class Options:
    """None."""


def maps(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return title → accuracy on val, a row per width of the last hidden layer but one.

    The columns are the widths of the last hidden layer. Networks of two hidden layers give one
    map, those of three a map per width of the first. Of trials with equal widths the best counts.
    """
    widths = [column for column in table.columns if column.startswith("width_")]
    by_title: dict[str, pd.DataFrame] = {}
    depth = table[widths].notna().sum(axis=1)
    for layers in sorted(set(depth[depth >= 2])):
        last, *before = widths[:layers][-2:], *widths[: layers - 2]
        trials = table[depth == layers]
        for first, rows in trials.groupby(before) if before else [((), trials)]:
            head = " × ".join([*map(_grid_words.text, first), "rows", "columns"])
            by_title[f"{layers} hidden layers: {head}"] = rows.pivot_table(
                index=last[0], columns=last[1], values="val_accuracy", aggfunc="max"
            )
    return by_title


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the maps, all of one depth on one scale of colours."""
    table = tables["grid"]
    by_title = maps(table) if len(table) else {}
    columns = min(len(by_title), 3) or 1
    lines = -(-len(by_title) // columns)
    fig, axes = _panels.grid(lines, columns, min(4.8 / columns + 0.6, 2.7), legend=0.2)
    if by_title:
        fig.suptitle("accuracy on val (%)", x=0.01, ha="left", fontsize=8)
    for ax in axes.flat[len(by_title) :]:
        ax.set_axis_off()
    depths = {title: title.split(":")[0] for title in by_title}
    for ax, (title, values) in zip(axes.flat, by_title.items(), strict=False):
        alike = [by_title[other].to_numpy() for other in by_title if depths[other] == depths[title]]
        every = 100 * np.concatenate([accuracies.ravel() for accuracies in alike])
        _map(ax, title, 100 * values, (np.nanpercentile(every, 5), np.nanmax(every)))
    return fig


def _map(ax: Axes, title: str, values: pd.DataFrame, limits: tuple[float, float]) -> None:
    low, high = limits
    ax.imshow(values, cmap="viridis", vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        if np.isfinite(value):
            bright = value > low + 0.6 * (high - low)
            style = {"color": "black" if bright else "white", "fontsize": 6}
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", **style)
    ax.set_title(title.replace(": ", ":\n"), loc="left")
    ax.set_xticks(range(values.shape[1]), map(_grid_words.text, values.columns))
    ax.set_yticks(range(values.shape[0]), map(_grid_words.text, values.index))
    ax.set(xlabel=_grid_words.name(values.columns.name), ylabel=_grid_words.name(values.index.name))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
