"""Accuracy on test against the share of weights set to zero (S2.10; figures 7.12–7.17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _families, _layer_panels, _style

NAMES = {
    "random-pruning": {"how": "random"},
    "random-pruning-sgd": {"how": "random", "family": "sgd"},
    "random-pruning-wd": {"how": "random", "family": "wd"},
    "random-pruning-layca": {"how": "random", "family": "layca"},
    "magnitude-pruning": {"how": "magnitude"},
    "magnitude-pruning-sgd": {"how": "magnitude", "family": "sgd"},
    "magnitude-pruning-wd": {"how": "magnitude", "family": "wd"},
    "magnitude-pruning-layca": {"how": "magnitude", "family": "layca"},
}
TABLES = ("pruning", "runs")
WORDS = {"random": "removed at random (%)", "magnitude": "smallest removed (%)"}


@dataclass(frozen=True)
class Options:
    """Which weights go, of which networks."""

    #: Which weights are removed.
    how: Literal["random", "magnitude"] = "random"
    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per family, a line per level: the mean over seeds and repeats, and the range.

    All panels of both ways and of all families have the same axes.
    """
    families = _families.families(tables["runs"], options.family)
    table = tables["pruning"]
    count = max(len(families), 1)
    figure = _style.figure(2.6)
    axes = figure.subplots(1, count, squeeze=False, sharex=True, sharey=True)[0]
    if not families:
        _layer_panels.empty(axes[0])
        return figure
    pruned = table[table["how"] == options.how] if len(table) else table
    for ax, (name, members) in zip(axes, families.items(), strict=True):
        ax.set_title(name, loc="left")
        ax.set_xlabel(WORDS[options.how])
        for member in members:
            _curve(ax, member.rows(pruned), member)
    axes[0].set_ylabel("accuracy on test (%)")
    if len(table):
        top = max(100 * table["fraction"].max(), 1)
        axes[0].set(
            xlim=(-0.015 * top, 1.015 * top), ylim=(0, min(100, 105 * table["accuracy"].max()))
        )
    _layer_panels.beside(figure, _families.handles(families), max(count, 3))
    return figure


def _curve(ax: Axes, table: pd.DataFrame, member: _families.Member) -> None:
    """Draw a member's curve; a network that diverged has no rows and no curve."""
    if table.empty:
        return
    accuracy = table.groupby("fraction")["accuracy"].agg(["mean", "min", "max"]) * 100
    places = accuracy.index.to_numpy(float) * 100
    look = member.look()
    ax.plot(places, accuracy["mean"], marker=member.marker, markersize=2.6, **look)
    if (accuracy["max"] > accuracy["min"]).any():
        band = {"color": look["color"], "alpha": 0.18, "linewidth": 0}
        ax.fill_between(places, accuracy["min"], accuracy["max"], **band)
