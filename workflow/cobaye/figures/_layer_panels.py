"""Quantities against depth: a panel per family, a line per level, the untrained network in grey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _families, _panels, _style

MANY_LAYERS = 8


def panels(
    families: _families.Families, rows: int = 1, height: float = 1.8
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [row, family], each row with one y axis."""
    count = max(len(families), 1)
    figure = _style.figure(height * rows + 0.6)
    axes = figure.subplots(rows, count, squeeze=False, sharex=True, sharey="row")
    if not families:
        empty(axes[0, 0])
    for ax, name in zip(axes[0], families, strict=False):
        ax.set_title(name, loc="left")
    return figure, axes


def members(
    families: _families.Families,
    ylabel: str,
    draw_member: Callable[[Axes, _families.Member], None],
    height: float,
    above: float,
) -> tuple[Figure, np.ndarray]:
    """Return a figure with a row of panels per family and a panel per member, each drawn."""
    figure, axes = by_member(list(families.values()), height, above)
    for row, family in zip(axes, families.values(), strict=False):
        row[0].set_ylabel(ylabel)
        for ax, member in zip(row, family, strict=False):
            ax.set_axis_on()
            ax.set_title(member.label, loc="left")
            draw_member(ax, member)
    for ax in lowest(axes):
        ax.set_xlabel("layer")
        ax.tick_params(labelbottom=True)
    return figure, axes


def lowest(axes: np.ndarray) -> list[Axes]:
    """Return the lowest panel that is shown of each column: rows may have different lengths."""
    columns = ([ax for ax in column if ax.axison] for column in axes.T)
    return [column[-1] for column in columns if column]


def by_member(
    rows: Sequence[Sequence[Any]], height: float, above: float
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [row, column], one for each member of each row, all of them off.

    height: of a panel. above: room above and below all. Both in inches.
    """
    count, columns = max(len(rows), 1), max(map(len, rows), default=1)
    figure = _style.figure(above + height * count)
    axes = figure.subplots(count, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.set_axis_off()
    if not rows:
        empty(axes[0, 0])
    return figure, axes


def empty(ax: Axes) -> None:
    """Write that there is nothing to show."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, "nothing to show", ha="center", transform=ax.transAxes)


def line(ax: Axes, table: pd.DataFrame, value: str, look: Mapping[str, Any]) -> None:
    """Draw the mean over seeds of a column against the layer, and its range."""
    values = table.pivot_table(index="layer", columns="seed", values=value, dropna=False)
    if values.empty or not values.notna().any(axis=None):
        return
    layers = values.index.to_numpy(int)
    ax.plot(layers, values.mean(axis=1), **look, marker=".", markersize=3.5)
    if values.shape[1] > 1:
        low, high = values.min(axis=1), values.max(axis=1)
        ax.fill_between(layers, low, high, color=look["color"], alpha=0.18, linewidth=0)


def draw(
    row: Sequence[Axes], table: pd.DataFrame, families: _families.Families, value: str
) -> bool:
    """Draw one row of panels; return whether the untrained network is in it.

    table: rows of trained networks and, if it has the column "state", of untrained ones.
    """
    trained, untrained = by_state(table)
    for ax, family in zip(row, families.values(), strict=False):
        line(ax, of_model(untrained, family), value, _families.INITIAL)
        for member in family:
            line(ax, member.rows(trained), value, member.look())
        number_layers(ax, table["layer"])
    return not untrained[value].dropna().empty


def by_state(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of trained and of untrained networks."""
    if "state" not in table:
        return table, table.iloc[:0]
    return table[table["state"] == "trained"], table[table["state"] == "initial"]


def of_model(untrained: pd.DataFrame, family: Sequence[_families.Member]) -> pd.DataFrame:
    """Return the rows of the untrained network of a family's model."""
    return untrained[untrained["model"] == family[0].model]


def networks(untrained: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the name and the rows of every untrained network."""
    models = list(untrained["model"].unique())
    return [
        (f"{model} · untrained" if len(models) > 1 else "untrained", rows)
        for model, rows in untrained.groupby("model", sort=False)
    ]


def number_layers(ax: Axes, layers: pd.Series) -> None:
    """Write the layers' numbers on the x axis, every second one where there are many."""
    last = int(layers.max()) if len(layers) else 1
    ax.set_xticks(range(1, last + 1, 2 if last > MANY_LAYERS else 1))
    ax.set_xlim(0.5, last + 0.5)


def legend(figure: Figure, families: _families.Families, *, untrained: bool) -> None:
    """Put the legend of all members, and of the untrained network, below the panels."""
    handles = _families.handles(families)
    if untrained:
        # Below the first family, so that each further family fills a column.
        first = len(next(iter(families.values()), ()))
        handles.insert(first, Line2D([], [], label="untrained", **_families.INITIAL))
    if handles:
        beside(figure, handles, max(len(families), 3))


def beside(figure: Figure, handles: Sequence[Any], columns: int, where: str = "lower") -> None:
    """Put a legend below all panels, or above; columns: entries side by side, at most."""
    place = {"loc": f"outside {where} center", "ncols": min(len(handles), columns)}
    _panels.legend(figure, handles, handlelength=2.4, columnspacing=1.4, **place)
