"""Silhouette against the size of the neighbourhood, layer by layer (S2.17; figures A.15–A.20)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _families, _layer_panels

NAMES = {"silhouette-sizes-first": {"end": "first"}, "silhouette-sizes-last": {"end": "last"}}
TABLES = ("silhouette-sizes", "runs")


@dataclass(frozen=True)
class Options:
    """Which layers, distance and networks."""

    #: The first or the last half of `sizes_layers`.
    end: Literal["first", "last"] = "first"
    #: Distance of the silhouette.
    distance: Literal["cosine", "euclidean"] = "cosine"
    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per layer, a panel per family; bands: ± one deviation over neurons."""
    table = tables["silhouette-sizes"]
    table = table[table["distance"] == options.distance]
    families = _families.families(tables["runs"], options.family)
    layers = sorted(table["layer"].unique())
    half = (len(layers) + 1) // 2
    layers = layers[:half] if options.end == "first" else layers[half:]
    figure, axes = _layer_panels.panels(families if layers else {}, max(len(layers), 1), 1.75)
    trained, untrained = _layer_panels.by_state(table)
    for row, layer in zip(axes, layers, strict=False):
        for ax, family in zip(row, families.values(), strict=True):
            before = _layer_panels.of_model(untrained, family)
            _line(ax, before[before["layer"] == layer], _families.INITIAL)
            for member in family:
                rows = member.rows(trained)
                _line(ax, rows[rows["layer"] == layer], member.look())
            ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
        row[0].set_ylabel(f"layer {int(layer)}\nsilhouette ({options.distance})")
    for ax in axes[-1] if layers else ():
        ax.set_xlabel("neighbourhood (%)")
    _layer_panels.legend(figure, families, untrained=len(untrained) > 0)
    return figure


def _line(ax: Axes, rows: pd.DataFrame, look: Mapping[str, Any]) -> None:
    """Draw the mean over seeds."""
    if rows.empty:
        return
    means = rows.groupby("share")[["silhouette", "deviation"]].mean().dropna(subset="silhouette")
    ax.plot(means.index * 100, means["silhouette"], **look)
    low, high = (means["silhouette"] + sign * means["deviation"] for sign in (-1, 1))
    ax.fill_between(means.index * 100, low, high, color=look["color"], alpha=0.12, linewidth=0)
