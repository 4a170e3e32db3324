"""Accuracy on validation against each hyperparameter, coloured by each other (S3, 2.1 to 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _grid_words, _panels, _style

NAMES = {"grid-scatter": {}}
TABLES = ("grid",)
_MARKERS = "osD^vP*Xhd<>"
# Points of one value stand side by side, by colour, over this share of the distance of values.
_SPREAD = 0.62


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per hyperparameter but the epochs, a panel per colouring."""
    table = tables["grid"]
    varied = _grid_words.varied(table) if len(table) else []
    rows = [column for column in varied if column != "epochs"] or varied
    count = max(len(varied) - 1, 1)
    size = (3.0 * count, 2.2)
    fig, axes = _panels.grid(len(rows), count, size)
    for row, column in zip(axes, rows, strict=False):
        others = [other for other in varied if other != column] or [column]
        for ax, other in zip(row, others, strict=True):
            _panel(ax, table, column, other)
        row[0].set_ylabel("accuracy on val (%)")
    if len(table) and not table["finite"].all():
        below = {"loc": "outside lower center", "handlelength": 1.2}
        _panels.legend(fig, [_panels.diverged_handle()], **below)
    return fig


def _panel(ax: Axes, table: pd.DataFrame, column: str, other: str) -> None:
    places, labels = _grid_words.positions(table[column])
    shades, names = _grid_words.positions(table[other])
    finite = table["finite"].astype(bool).to_numpy()
    accuracy = 100 * table["val_accuracy"].to_numpy(float)
    handles = []
    for shade, label in enumerate(names):
        offset = _SPREAD * ((shade + 0.5) / len(names) - 0.5)
        colour = matplotlib.colormaps["plasma"](0.88 * shade / max(len(names) - 1, 1))
        look = {"color": colour, "linestyle": "none", "markersize": 3.2}
        shaded = (shades == shade).to_numpy()
        for which, marker in ((finite, _MARKERS[shade % len(_MARKERS)]), (~finite, "x")):
            x = places.to_numpy()[shaded & which] + offset
            edge = {"markeredgewidth": 0.25 if marker != "x" else 1.2}
            rim = {"markeredgecolor": _style.INK} if marker != "x" else {}
            ax.plot(x, accuracy[shaded & which], marker=marker, **look, **edge, **rim)
        handles.append(Line2D([], [], marker=_MARKERS[shade % len(_MARKERS)], label=label, **look))
    ax.set_xticks(np.arange(len(labels)), labels)
    ax.set(xlabel=_grid_words.name(column), ylim=(-3, 103))
    _panels.legend(ax, handles, title=_grid_words.name(other), handlelength=0.8)
