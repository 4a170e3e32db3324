"""Correlation of each hyperparameter with validation accuracy (S3, fig. 2.4)."""

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
_BAR = "#7f96a8"


@dataclass(frozen=True)
class Options:
    """None."""


def correlations(table: pd.DataFrame) -> pd.Series:
    """Return Pearson's r of each varied number with the accuracy on val, over all trials.

    Trials that diverged count with the accuracy that they ended with, as in the report.
    """
    varied = _grid_words.varied(table) if len(table) else []
    numbers = [column for column in varied if pd.api.types.is_numeric_dtype(table[column])]
    values = table[[*numbers, ACCURACY]].astype(float)
    return values.corr()[ACCURACY].drop(ACCURACY)


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a bar per hyperparameter."""
    found = correlations(tables["grid"]) if len(tables["grid"]) else pd.Series(dtype=float)
    fig, axes = _panels.grid(int(len(found) > 0), 1, 0.75 + 0.24 * len(found))
    if not len(found):
        return fig
    ax = axes[0, 0]
    places = np.arange(len(found))
    ax.barh(places, found.fillna(0), 0.6, color=_BAR)
    for place, value in zip(places, found, strict=True):
        shown = "–" if np.isnan(value) else f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
        ax.text(1.02, place, shown, va="center", fontsize=7)
    ax.axvline(0, color=_style.INK, linewidth=0.7)
    ax.set_yticks(places, [_grid_words.name(column) for column in found.index])
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-1, 1), ylim=(len(found) - 0.4, -0.6), xlabel="Pearson's r with accuracy on val")
    most = found.abs().idxmax() if found.notna().any() else None
    _panels.title(ax, f"most related: {_grid_words.name(most)}" if most else "")
    return fig
