"""How many classes would have their lowest loss at each λ by noise alone: marks over bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cobaye.figures import _style

# Sideways shift, look, columns of the table `null-best-lambda`, name.
_MARKS = (
    (
        -0.16,
        {"color": _style.INK, "marker": "D"},
        ("expected", "low", "high"),
        "noise, one curve",
    ),
    (
        0.16,
        {"color": "#c9641d", "marker": "s"},
        ("shape_expected", "shape_low", "shape_high"),
        "noise, one shape",
    ),
)
_SIZE = {"linewidth": 1.2, "markersize": 2.8}


def draw(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw what is expected and its band, beside each other at 0, 1, …; rows: one per λ."""
    places = np.arange(len(rows))
    for shift, look, names, _ in _MARKS:
        middle, low, high = (rows[name].to_numpy(float) for name in names)
        ax.vlines(places + shift, low, high, color=look["color"], linewidth=1.2, zorder=3)
        ax.plot(places + shift, middle, linestyle="none", zorder=4, **look, **_SIZE)


def handles() -> list[Line2D]:
    """Return the legend entries."""
    return [Line2D([], [], label=name, **look, **_SIZE) for _, look, _, name in _MARKS]
