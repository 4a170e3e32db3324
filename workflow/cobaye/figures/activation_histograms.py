"""Mean activation of each neuron, layer by layer (S2.11; figures A.1–A.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _histograms

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
    """family: of this family alone, "" of all. untrained: the untrained network instead."""

    family: str = ""
    untrained: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per layer, a column per network."""
    own = {name: tables[name] for name in TABLES[:1]}
    found = _histograms.columns(own, tables["runs"], options.family, untrained=options.untrained)
    layers = sorted(tables["activation-histograms"]["layer"].unique())
    figure, axes = _histograms.grid([title for title, *_ in found], layers)
    for ax, layer, look, own in _histograms.each(axes, layers, found):
        shares, edges = _histograms.shares(own["activation-histograms"], layer)
        if len(shares):
            ax.stairs(shares * 100, edges, fill=True, **look)
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(0, 100)
        ax.set_yticks([1, 100], ["1", "100"])
    if found:
        _histograms.label(figure, "mean activation of a neuron", "layer: share of its neurons (%)")
    return figure
