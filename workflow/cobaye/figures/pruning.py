"""Accuracy on test against the share of weights set to zero (S2.10; figures 7.12–7.17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.errors import ConfigError
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
    #: Shares of weights at which the accuracies are written, each one of the analysis's
    #: `fractions`.
    marks: tuple[float, ...] = ()


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
        for mark in options.marks:
            _mark(ax, mark, [member.rows(pruned) for member in members])
    axes[0].set_ylabel("accuracy on test (%)")
    if len(table):
        top = max(100 * table["fraction"].max(), 1)
        axes[0].set(
            xlim=(-0.015 * top, 1.015 * top), ylim=(0, min(100, 105 * table["accuracy"].max()))
        )
    _layer_panels.beside(figure, _families.handles(families), max(count, 3))
    return figure


def _mark(ax: Axes, mark: float, curves: Sequence[pd.DataFrame]) -> None:
    """Draw a line at a share, and write the accuracies there, the first member's at the top."""
    rows = [table[np.isclose(table["fraction"].astype(float), mark)] for table in curves]
    means = [100 * at["accuracy"].mean() for at in rows if len(at)]
    if not means and any(map(len, curves)):
        raise ConfigError(f"marks: {mark:g} is none of the fractions of the analysis pruning")
    ax.axvline(100 * mark, color=_style.GREY, linewidth=0.7, zorder=0.5)
    said = "\n".join([f"{100 * mark:g} %:", *(f"{mean:.1f}" for mean in means)])
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
    look = {"ha": "left", "va": "top", "fontsize": 6, "linespacing": 1.1, "bbox": box}
    ax.annotate(said, (100 * mark, 1), (3, -1), ("data", "axes fraction"), "offset points", **look)


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
