"""Accuracy on validation over each two hyperparameters, as heat maps (S3, figs. 2.1 to 2.3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels, _style

NAMES = {"grid-scatter": {}}
TABLES = ("grid",)
_COLUMNS = 3
_MOST_CHARACTERS = 15  # below a map, side by side


@dataclass(frozen=True)
class Options:
    """None."""


def maps(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return (rows, columns) → mean accuracy on val in %, over all trials of two values.

    One pair of hyperparameters, each pair once; a single one that varies is alone in its row.
    Trials that diverged count with the accuracy that they ended with.
    """
    varied = _grid_words.varied(table) if len(table) else []
    table = table.assign(percent=100 * table["val_accuracy"].astype(float), all="all")
    pairs = list(itertools.combinations(varied, 2)) or [("all", one) for one in varied]
    return {
        pair: table.pivot_table(index=pair[0], columns=pair[1], values="percent", dropna=False)
        for pair in pairs
    }


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a map per pair of hyperparameters, all on one scale."""
    by_pair = maps(tables["grid"])
    columns = min(len(by_pair), _COLUMNS) or 1
    fig, axes = _panels.grid(-(-len(by_pair) // columns), columns, 1.75)
    for ax in axes.flat[len(by_pair) :]:
        ax.set_axis_off()
    image = None
    for ax, ((row, column), values) in zip(axes.flat, by_pair.items(), strict=False):
        image = ax.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
        _cells(ax, values)
        ax.set(xlabel=_grid_words.name(column), ylabel=_grid_words.name(row))
    if image is not None:
        fig.colorbar(image, ax=axes, label="mean accuracy on val (%)", fraction=0.03, pad=0.02)
    return fig


def _cells(ax: Axes, values: pd.DataFrame) -> None:
    """Write the number of each cell, and the values of the two hyperparameters."""
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        if np.isfinite(value):
            ink = _style.INK if value > 55 else "white"
            text = f"{value:.0f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=6, color=ink)
    names = [_grid_words.text(value) for value in values.columns]
    turn = 45 if sum(map(len, names)) > _MOST_CHARACTERS else 0
    ax.set_xticks(range(len(names)), names, rotation=turn)
    ax.set_yticks(range(values.shape[0]), map(_grid_words.text, values.index))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
