"""Mean activation of each neuron, layer by layer (S2.11; figures A.1–A.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _layer_histograms

NAMES = {
    "activation-histograms-initial": {"untrained": True},
    "activation-histograms": {},
    "activation-histograms-sgd": {"family": "sgd"},
    "activation-histograms-wd": {"family": "wd"},
    "activation-histograms-layca": {"family": "layca"},
}
TABLES = ("activation-histograms", "runs")


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""
    #: Whether the untrained network is shown instead.
    untrained: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per layer, a column per network."""
    frames = {name: tables[name] for name in TABLES[:1]}
    columns = _layer_histograms.columns(
        frames, tables["runs"], options.family, untrained=options.untrained
    )
    layers = sorted(tables["activation-histograms"]["layer"].unique())
    figure, axes = _layer_histograms.grid([title for title, *_ in columns], layers)
    for ax, layer, look, frames in _layer_histograms.panels(axes, layers, columns):
        _layer_histograms.bars(ax, frames["activation-histograms"], layer, **look)
    if columns:
        _layer_histograms.label(
            figure, "mean activation of a neuron", "layer: share of its neurons (%)"
        )
    return figure
