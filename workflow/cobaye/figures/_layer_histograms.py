"""Histograms of every layer, a row of panels each, and a column per network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _families, _layer_panels, _style

UNTRAINED = {"color": "#4d4d4d"}
# Title, look, and rows of each table.
Column = tuple[str, dict[str, Any], dict[str, pd.DataFrame]]


def columns(
    tables: dict[str, pd.DataFrame], runs: pd.DataFrame, family: str, *, untrained: bool
) -> list[Column]:
    """Return, per column, its title, its look and its rows of each table.

    runs: the table of all runs. untrained: the untrained networks, instead of a family's members.
    """
    states = {name: _layer_panels.by_state(table) for name, table in tables.items()}
    if untrained:
        first = next(iter(states.values()))[1]
        return [
            (title, UNTRAINED, {name: _of(rows, first_rows) for name, (_, rows) in states.items()})
            for title, first_rows in _layer_panels.networks(first)
        ]
    families = _families.families(runs, family)
    return [
        (
            member.label,
            {"color": member.color},
            {name: member.rows(trained) for name, (trained, _) in states.items()},
        )
        for members in families.values()
        for member in members
    ]


def _of(rows: pd.DataFrame, model_rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one model."""
    return rows[rows["model"] == model_rows["model"].iloc[0]]


def grid(
    titles: Sequence[str], layers: Sequence[int], sharex: str = "row"
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [layer, column]; each row shares its y axis."""
    rows, count = max(len(layers) if titles else 1, 1), max(len(titles), 1)
    figure = _style.figure(0.9 + (0.45 if sharex == "all" else 0.55) * rows)
    figure.set_layout_engine(None)
    width, height = figure.get_size_inches()
    axes = figure.subplots(rows, count, squeeze=False, sharex=sharex, sharey="row")
    # By hand, in inches: a hundred panels and more would take the layout engine half a minute.
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.1 / width,
        bottom=0.5 / height,
        top=1 - 0.4 / height,
        hspace=0.25 if sharex == "all" else 0.6,
        wspace=0.12,
    )
    if not titles or not len(layers):
        _layer_panels.empty(axes[0, 0])
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, loc="left")
    return figure, axes


def shares(table: pd.DataFrame, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each bin of a layer, and the edges; seeds are added up.

    All bins of a network have one width. Where the widths of seeds differ, by powers of two, the
    widest is used.
    """
    rows = table[table["layer"] == layer]
    widths = rows["upper"] - rows["lower"]
    if len(rows) and widths.max() > 1.5 * widths.min():
        width = widths.max()
        lower = np.floor(rows["lower"] / width) * width
        rows = rows.assign(lower=lower, upper=lower + width)
    counts = rows.groupby(["lower", "upper"])["count"].sum()
    edges = counts.index.get_level_values("lower").to_numpy(float)
    upper = counts.index.get_level_values("upper").to_numpy(float)
    return counts.to_numpy(float) / max(counts.sum(), 1), np.append(edges, upper[-1:])


def bars(ax: Axes, table: pd.DataFrame, layer: int, **look: Any) -> None:
    """Draw the shares of a layer's bins in %, on an axis that also shows very small ones."""
    heights, edges = shares(table, layer)
    if len(heights):
        ax.stairs(heights * 100, edges, fill=True, **look)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0, 100)
    ax.set_yticks([1, 100], ["1", "100"])


def panels(
    axes: np.ndarray, layers: Sequence[int], columns: Sequence[Column]
) -> Iterator[tuple[Axes, int, Any, dict[str, pd.DataFrame]]]:
    """Yield every panel's axes, layer, look and tables; number the layers at the left."""
    for row, layer in zip(axes, layers if columns else (), strict=False):
        for ax, (_, look, frames) in zip(row, columns, strict=True):
            yield ax, layer, look, frames
        row[0].set_ylabel(f"{layer}", rotation=0, ha="right", va="center")


def label(figure: Figure, x: str, y: str) -> None:
    """Name the axes that all panels share."""
    width, height = figure.get_size_inches()
    figure.supxlabel(x, y=0.06 / height, fontsize=8)
    figure.supylabel(y, x=0.06 / width, fontsize=8)
