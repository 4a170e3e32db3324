"""Neurons that never change, and pairs of them, network by network (S2.13; figure 8.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _families, _layer_panels

NAMES = {"pathological-pairs": {}}
TABLES = ("activations", "runs")
# Stacked, from below: column of the table, its name, grey, hatching.
PARTS = (
    ("pairs_off", "pairs, both off", "#4d4d4d", ""),
    ("pairs_on", "pairs, both on", "#b3b3b3", "////"),
    ("pairs_mixed", "pairs, one on, one off", "#e6e6e6", "...."),
)
NEURONS = {"color": "#b5311f", "linewidth": 1.1, "marker": "o", "markersize": 2.5}
EXPECTED = {"color": "#b5311f", "linewidth": 1.0, "linestyle": (0, (2, 1.5))}


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per family, a panel per level."""
    trained, _ = _layer_panels.by_state(tables["activations"])
    families = _families.families(tables["runs"], options.family)
    figure, _ = _layer_panels.members(
        families,
        "share (%)",
        lambda ax, member: _panel(ax, member.rows(trained), trained["layer"]),
        1.35,
        0.9,
    )
    if not families:
        return figure
    handles = [
        Line2D([], [], label="neurons that never change", **NEURONS),
        Line2D([], [], label="its square: pairs, if alike", **EXPECTED),
        *(Patch(facecolor=grey, hatch=hatch, label=name) for _, name, grey, hatch in PARTS),
    ]
    _layer_panels.beside(figure, handles, 3)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, layers: pd.Series) -> None:
    means = table.groupby("layer")[["off", "on", *(part for part, *_ in PARTS)]].mean() * 100
    below = 0 * means["off"]
    for part, _, grey, hatch in PARTS:
        bars = {"color": grey, "hatch": hatch, "edgecolor": "#1a1a1a", "linewidth": 0.3}
        ax.bar(means.index, means[part], bottom=below, width=0.75, **bars)
        below = below + means[part]
    neurons = means["off"] + means["on"]
    ax.plot(means.index, neurons, **NEURONS)
    ax.plot(means.index, neurons**2 / 100, **EXPECTED)
    _layer_panels.number_layers(ax, layers)
