"""Distributions of the weights of layers and of their changes (S2.8; figures 7.1–7.6, 7.8–7.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cobaye.figures import _families, _layer_panels, _log_axis, _style

NAMES = {
    "weight-change": {"quantity": "change"},
    "weight-change-first": {"quantity": "change", "layers": "first"},
    "weight-change-middle": {"quantity": "change", "layers": "middle"},
    "weight-change-last": {"quantity": "change", "layers": "last"},
    "relative-change": {"quantity": "relative-change"},
    "relative-change-first": {"quantity": "relative-change", "layers": "first"},
    "relative-change-middle": {"quantity": "relative-change", "layers": "middle"},
    "relative-change-last": {"quantity": "relative-change", "layers": "last"},
    "weight-distribution": {"quantity": "weight"},
    "weight-distribution-first": {"quantity": "weight", "layers": "first"},
    "weight-distribution-middle": {"quantity": "weight", "layers": "middle"},
    "weight-distribution-last": {"quantity": "weight", "layers": "last"},
}
TABLES = ("weight-histograms", "runs")
WORDS = {
    "change": "change of a weight, Δw = wₙ − w₀",
    "relative-change": "change of a weight over the layer's norm, Δw/‖wₙ‖",
    "weight": "weight wₙ",
}
_THIRDS = ("first", "middle", "last")
# The share of weights beyond the axis, at most; the decades of density that are shown.
_BEYOND, _DECADES = 0.002, 3.5
# Number of weights, at least → how many neighbouring bins are joined into one.
_JOINED = ((10_000, 1), (1_000, 3), (0, 9))
_INITIAL: dict[str, Any] = {"color": "#d5d5d5", "linewidth": 0}


@dataclass(frozen=True)
class Options:
    """What is shown, of which layers and networks."""

    #: The change of each weight, the same over the layer's norm, or the weight.
    quantity: Literal["change", "relative-change", "weight"] = "weight"
    #: All layers, or a third of them.
    layers: Literal["all", "first", "middle", "last"] = "all"
    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per layer, of common axes, a column per family, a line per level."""
    families = _families.families(tables["runs"], options.family)
    table = tables["weight-histograms"]
    layers = third(sorted(table["layer"].unique()) if len(table) else [], options.layers)
    rows, columns = max(len(layers), 1), max(len(families), 1)
    figure = _style.figure(0.9 + max(0.7 * rows, 1.4))
    axes = figure.subplots(rows, columns, squeeze=False, sharex="row", sharey="row")
    if not layers or not families:
        for ax in axes.flat:
            _layer_panels.empty(ax)
        return figure
    for ax, name in zip(axes[0], families, strict=True):
        ax.set_title(name, loc="left")
    for row, layer in zip(axes, layers, strict=True):
        of_layer = table[table["layer"] == layer]
        _row(row, of_layer, families, options.quantity)
        row[0].set_ylabel(f"layer {layer}\n{of_layer['name'].iloc[0].removeprefix('body.')}")
    figure.supxlabel(WORDS[options.quantity], fontsize=8)
    figure.supylabel("probability density", fontsize=8)
    handles: list[Any] = _families.handles(families)
    if options.quantity == "weight":
        handles.append(Patch(facecolor=_INITIAL["color"], label="before training"))
    _layer_panels.beside(figure, handles, max(columns, 3), "upper")
    return figure


def third(layers: Sequence[int], which: str) -> list[int]:
    """Return the first, middle or last third of some layers, or all; the first is the longest."""
    if which == "all":
        return list(layers)
    return np.array_split(np.array(layers, dtype=int), 3)[_THIRDS.index(which)].tolist()


def density(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's probability density by bin (B,), seeds added up, and the edges (B + 1,).

    Where weights are few, neighbouring bins are joined. No rows give two empty arrays.
    """
    counts = table.groupby(["lower", "upper"])["count"].sum()
    total = counts.sum()
    if not total:
        return np.empty(0), np.empty(0)
    joined = next(bins for weights, bins in _JOINED if total >= weights)
    joined = joined if len(counts) % joined == 0 else 1
    edges = np.append(*(counts.index.get_level_values(side) for side in ("lower", "upper")))
    edges = np.append(edges[: len(counts)], edges[-1])[::joined]
    return counts.to_numpy().reshape(-1, joined).sum(axis=1) / total / np.diff(edges), edges


def _row(
    row: Sequence[Axes], table: pd.DataFrame, families: _families.Families, quantity: str
) -> None:
    """Draw the panels of one layer."""
    of_quantity, initial = (table[table["quantity"] == name] for name in (quantity, "initial"))
    underneath = density(initial) if quantity == "weight" else (np.empty(0), np.empty(0))
    drawn = [underneath]
    for ax, members in zip(row, families.values(), strict=True):
        if len(underneath[0]):
            ax.stairs(*underneath, fill=True, baseline=0, **_INITIAL)
        for member in members:
            line = density(member.rows(of_quantity))
            if len(line[0]):
                ax.stairs(*line, baseline=None, **member.look())
                drawn.append(line)
    _limit(row[0], [line for line in drawn if len(line[0])])


def _limit(ax: Axes, drawn: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set the limits of a row's axes, so that they hold all its networks."""
    ax.set_yscale("log")
    if not drawn:
        return
    reach = max(_reach(*line) for line in drawn)
    top = max(values.max() for values, _ in drawn)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(top / 10**_DECADES, 2 * top)
    _log_axis.scale(ax, 1e4)
    ax.minorticks_off()
    ax.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))


def _reach(values: np.ndarray, edges: np.ndarray) -> float:
    """Return the distance from zero within which all but a small share of the weights lie."""
    order = np.argsort(size := np.maximum(np.abs(edges[:-1]), np.abs(edges[1:])))
    within = np.cumsum((values * np.diff(edges))[order])
    return float(size[order][min(np.searchsorted(within, 1 - _BEYOND), len(size) - 1)])
