"""Histograms of every layer, a row of panels each, and a column per network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _by_layer, _families

FILL = {"color": "#c9c9c9", "linewidth": 0}
Column = tuple[str, dict[str, pd.DataFrame]]


def columns(
    tables: dict[str, pd.DataFrame], family: str, *, untrained: bool
) -> list[tuple[str, Any, dict[str, pd.DataFrame]]]:
    """Return, per column, its title, its look and its rows of each table.

    untrained: the untrained network alone, instead of the members of a family.
    """
    states = {name: _by_layer.by_state(table) for name, table in tables.items()}
    if untrained:
        own = {name: initial for name, (_, initial) in states.items()}
        return [("untrained", {"color": "#4d4d4d"}, own)] if len(next(iter(own.values()))) else []
    found = _families.families(next(iter(states.values()))[0], family)
    return [
        (
            member.label,
            {"color": member.color},
            {name: member.rows(trained) for name, (trained, _) in states.items()},
        )
        for members in found.values()
        for member in members
    ]


def grid(titles: Sequence[str], layers: Sequence[int]) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [layer, column]; each row shares its axes."""
    rows, count = max(len(layers), 1), max(len(titles), 1)
    figure = Figure(figsize=(1.2 + 2.1 * count, 0.6 + 0.72 * rows), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.02, hspace=0.01)
    axes = figure.subplots(rows, count, squeeze=False, sharex="row", sharey="row")
    if not titles or not layers:
        _by_layer.empty(axes[0, 0])
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, loc="left")
    return figure, axes


def shares(table: pd.DataFrame, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each bin of a layer, and the edges; seeds are added up."""
    own = table[table["layer"] == layer]
    counts = own.groupby(["lower", "upper"])["count"].sum()
    edges = counts.index.get_level_values("lower").to_numpy(float)
    upper = counts.index.get_level_values("upper").to_numpy(float)
    return counts.to_numpy(float) / max(counts.sum(), 1), np.append(edges, upper[-1:])


def each(
    axes: np.ndarray, layers: Sequence[int], found: Sequence[tuple[str, Any, dict]]
) -> Iterator[tuple[Axes, int, Any, dict[str, pd.DataFrame]]]:
    """Yield every panel with its layer, look and tables; name the layers at the left."""
    for row, layer in zip(axes, layers, strict=False):
        for ax, (_, look, own) in zip(row, found, strict=True):
            yield ax, layer, look, own
        row[0].set_ylabel(f"{layer}", rotation=0, ha="right", va="center")
