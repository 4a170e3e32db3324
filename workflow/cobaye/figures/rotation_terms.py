"""The two terms of each layer's cosine distance, network by network (S2.9; figure 7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import SymmetricalLogLocator

from cobaye.figures import _families, _layer_panels, _panels, _style

NAMES = {"rotation-terms": {}}
TABLES = ("rotation", "runs")

# Where terms go past this, the axis is linear up to it and logarithmic beyond.
_LINEAR = 3.0
_TERMS: dict[str, tuple[str, dict[str, Any]]] = {
    "norm_ratio": ("‖w₀‖/‖wₙ‖", {"marker": "o", "markersize": 3.2, "linestyle": "-"}),
    "projection": (
        "ŵ₀·Δw/‖wₙ‖",
        {"marker": "s", "markersize": 3.2, "markerfacecolor": "white", "linestyle": (0, (4, 1.6))},
    ),
}
_DISTANCE = {"color": _style.INK, "linestyle": (0, (1.2, 1.2)), "linewidth": 1.0}


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per family, a panel per level, after the last epoch."""
    families = _families.families(tables["runs"], options.family)
    last = _last(tables["rotation"])
    figure, axes = _layer_panels.members(
        families, "term", lambda ax, member: _panel(ax, member, last), 1.4, 0.6
    )
    if not families:
        return figure
    _limit(axes, last)
    handles = [
        Line2D([], [], label=label, color=_style.GREY, **look) for label, look in _TERMS.values()
    ]
    handles.append(Line2D([], [], label="cosine distance: 1 less both", **_DISTANCE))
    _panels.legend(figure, handles, loc="outside upper center", ncols=3)
    return figure


def _last(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last epoch."""
    run = [*_families.RUN, "seed"]
    return table[table["epoch"] == table.groupby(run)["epoch"].transform("max")]


def _panel(ax: Axes, member: _families.Member, table: pd.DataFrame) -> None:
    for level in (0, 1):
        ax.axhline(level, color="#bbbbbb", linewidth=0.6, zorder=0)
    rows = member.rows(table)
    means = rows.groupby("layer")[[*_TERMS, "cosine_distance"]].mean()
    for column, (_, look) in _TERMS.items():
        ax.plot(means.index, means[column], color=member.color, linewidth=1.2, **look)
    ax.plot(means.index, means["cosine_distance"], **_DISTANCE)
    if rows.empty:
        where = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, "diverged", fontsize=7, **where)
    _layer_panels.number_layers(ax, table["layer"])


def _limit(axes: np.ndarray, table: pd.DataFrame) -> None:
    values = table[[*_TERMS, "cosine_distance"]].to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = min(values.min(initial=0), -0.1), max(values.max(initial=1), 1.1)
    if max(-low, high) > _LINEAR:
        axes[0, 0].set_yscale("symlog", linthresh=_LINEAR, linscale=1.5)
        locator = SymmetricalLogLocator(linthresh=_LINEAR, base=10)
        places = [-1, 0, 1, *(place for place in locator.tick_values(low, high) if abs(place) > 1)]
        labels = [f"{place:g}".replace("-", "−") for place in sorted(places)]
        axes[0, 0].set_yticks(sorted(places), labels)
        axes[0, 0].minorticks_off()
        low, high = low * 1.3, high * 1.3
    pad = 0.04 * (high - low) if high <= _LINEAR else 0
    axes[0, 0].set_ylim(low - pad, high + pad)
