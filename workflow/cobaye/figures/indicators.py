"""Every indicator against test accuracy, a dot per run, with its rank correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _families, _layer_panels, _style
from cobaye.figures._indicator_names import WORDS

NAMES = {"indicators": {}}
TABLES = ("indicators", "indicator-ranks", "runs")
COLUMNS = 3


@dataclass(frozen=True)
class Options:
    """Which layers."""

    #: `all`: the mean of all layers; or the number of a layer, as text.
    layer: str = "all"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw one panel per indicator; in its title Spearman's ρ over the runs."""
    values, ranks = (
        tables[name][tables[name]["layer"].astype(str) == options.layer] for name in TABLES[:2]
    )
    shown = [name for name in WORDS if values.loc[values["indicator"] == name, "value"].count()]
    rows = max(math.ceil(len(shown) / COLUMNS), 1)
    figure = _style.figure(0.7 + 1.6 * rows)
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    if not shown:
        _layer_panels.empty(axes[0, 0])
        return figure
    families = _families.families(tables["runs"])
    members = [member for family in families.values() for member in family]
    for ax, indicator in zip(axes.flat, shown, strict=False):
        selected = values[values["indicator"] == indicator]
        for member in members:
            dots = member.rows(selected)
            ax.plot(dots["value"], dots["test_accuracy"] * 100, **_dot(member))
        rho = ranks.loc[ranks["indicator"] == indicator, "spearman"]
        title = f"ρ = {rho.iloc[0]:+.2f}".replace("-", "−") if rho.notna().any() else "ρ: none"
        ax.set_title(title, loc="left")
        ax.set_xlabel(WORDS[indicator])
        ax.locator_params(axis="x", nbins=4)
    for ax in axes[:, 0]:
        ax.set_ylabel("test accuracy (%)")
    handles = [Line2D([], [], label=member.label, **_dot(member)) for member in members]
    _layer_panels.beside(figure, handles, 4)
    return figure


def _dot(member: _families.Member) -> dict[str, object]:
    """Return the marker of a family's member, the fuller the higher its level."""
    fill = np.linspace(0, 1, max(member.levels, 2))[member.place + (member.levels == 1)]
    return {
        "linestyle": "none",
        "marker": member.marker,
        "markersize": 5,
        "markeredgecolor": member.color,
        "markerfacecolor": (member.color, float(fill)),
    }
