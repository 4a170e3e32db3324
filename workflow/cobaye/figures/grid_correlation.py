"""Correlation of hyperparameters with each other and with validation accuracy (S3, fig. 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _grid_words, _panels, _style

NAMES = {"grid-correlation": {}}
TABLES = ("grid",)
ACCURACY = "val_accuracy"


@dataclass(frozen=True)
class Options:
    """None."""


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Return Pearson's r of the varied numbers and the accuracy on val, over all trials.

    Trials that diverged count with the accuracy that they ended with, as in the report.
    """
    varied = _grid_words.varied(table) if len(table) else []
    numbers = [column for column in varied if pd.api.types.is_numeric_dtype(table[column])]
    return table[[*numbers, ACCURACY]].astype(float).corr()


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the matrix, each number in its cell."""
    matrix = correlations(tables["grid"]) if len(tables["grid"]) else pd.DataFrame()
    names = ["accuracy on val" if c == ACCURACY else _grid_words.name(c) for c in matrix.columns]
    side = 1.6 + 0.62 * max(len(matrix), 2)
    fig, axes = _panels.grid(int(len(matrix) > 0), 1, (side + 0.6, side))
    if not len(matrix):
        return fig
    ax = axes[0, 0]
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        shown = "–" if np.isnan(value) else f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
        dark = abs(value) > 0.6
        ax.text(column, row, shown, ha="center", va="center", color="white" if dark else _style.INK)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, shrink=0.8, label="Pearson's r")
    return fig
