"""Mutual information of pairs of neurons, layer by layer (S2.12; figures A.11–A.14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _layer_histograms

NAMES = {
    "pair-histograms-initial": {"untrained": True},
    "pair-histograms": {},
    "pair-histograms-sgd": {"family": "sgd"},
    "pair-histograms-wd": {"family": "wd"},
    "pair-histograms-layca": {"family": "layca"},
}
TABLES = ("pair-histograms", "activations", "runs")
MEANS = {
    "pair_information": ("mean", {"color": "#1a1a1a", "linewidth": 1.1}),
    "pair_information_below_one": (
        "mean without pairs at 1",
        {"color": "#b5311f", "linewidth": 1.1, "linestyle": (0, (2, 1.2))},
    ),
}


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""
    #: Whether the untrained network is shown instead.
    untrained: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per layer, a column per network, the two means upright."""
    frames = {name: tables[name] for name in TABLES[:2]}
    columns = _layer_histograms.columns(
        frames, tables["runs"], options.family, untrained=options.untrained
    )
    layers = sorted(tables["pair-histograms"]["layer"].unique())
    figure, axes = _layer_histograms.grid([title for title, *_ in columns], layers, "all")
    for ax, layer, look, frames in _layer_histograms.panels(axes, layers, columns):
        _layer_histograms.bars(ax, frames["pair-histograms"], layer, alpha=0.75, **look)
        of_layer = frames["activations"][frames["activations"]["layer"] == layer]
        for column, (_, line) in MEANS.items():
            ax.axvline(of_layer[column].mean(), **line)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])  # short: panels stand close
    if columns:
        _layer_histograms.label(
            figure, "normalised mutual information of a pair", "layer: share of its pairs (%)"
        )
        handles = [Line2D([], [], label=label, **line) for label, line in MEANS.values()]
        where = {"loc": "upper right", "ncols": 2, "borderaxespad": 0.1}
        figure.legend(handles=handles, **where)
    return figure
