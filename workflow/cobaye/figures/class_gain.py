"""The gain of each class on test by a λ for each class, chosen in three ways, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _panels, _style

NAMES = {"class-gain": {}}
TABLES = ("class-gains", "compromise")

_WAYS = {
    "naive": "chosen on test (naive)",
    "honest": "chosen on val",
    "shrunk": "chosen on val, shrunk",
}
# Of intervals above 0, below it and around it: from light to dark, so that grey keeps them apart.
_COLOURS = {True: "#0b62a4", False: "#e07b1a", None: "#b9b9b9"}
_NAMES = {True: "interval above 0", False: "interval below 0", None: "interval around 0"}

_GAIN: dict[str, Any] = {
    "color": _style.INK,
    "marker": ".",
    "markersize": 2.2,
    "linestyle": "none",
}
_BEYOND: dict[str, Any] = {
    "color": "#5a5a5a",
    "marker": "^",
    "markersize": 2.4,
    "linestyle": "none",
}


@dataclass(frozen=True)
class Options:
    """Where the axis ends."""

    #: Share of the classes whose gain the axis must hold.
    inside: float = 0.99

    def __post_init__(self):
        if not 0 < self.inside <= 1:
            raise ValueError(f"inside: {self.inside} is no share above 0")


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a panel per way of choosing, all with one y axis, classes ranked by gain."""
    table = tables["class-gains"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), 3, 2.2, legend=0.5)
    for row, configuration in zip(axes, configurations, strict=False):
        gains, mean = (
            _panels.of(table, configuration),
            _panels.of(tables["compromise"], configuration),
        )
        estimates = gains[[f"{way}_gain" for way in _WAYS]].to_numpy(float)
        shown = np.abs(estimates[np.isfinite(estimates)])
        limit = 1.15 * max(np.quantile(shown, options.inside), 1e-3) if len(shown) else 1
        for ax, (way, name) in zip(row, _WAYS.items(), strict=True):
            ax.set(ylim=(-limit, limit), xlabel="classes, ranked by gain")
            ax.tick_params(labelleft=ax is row[0])
            counted = _ranked(ax, gains, way)
            ax.set_title(f"{name}\n{_mean(mean, way)}\n{counted}", loc="left", fontsize=7)
        row[0].set_ylabel("gain in test loss (nats)")
        for ax in row:
            said = ax.get_title("left")
            _panels.title(ax, said, configuration if ax is row[0] else None, len(axes) > 1)
    if configurations:
        handles = [
            *(
                Line2D([], [], color=colour, label=_NAMES[which], linewidth=2.0)
                for which, colour in _COLOURS.items()
            ),
            Line2D([], [], label="gain of a class", **_GAIN),
            Line2D([], [], label="beyond the axis", **_BEYOND),
        ]
        _panels.legend(fig, handles, loc="outside lower center", ncols=3, handlelength=1.2)
    return fig


def _mean(table: pd.DataFrame, way: str) -> str:
    """Return a way's mean gain with its interval, as text."""
    one = table[(table["choice"] == way) & (table["measure"] == "loss")]
    one = one[one["resampled"] == "test"].iloc[0]
    text = f"{one['gain']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"
    return text.replace("-", "−")


def _ranked(ax: Axes, table: pd.DataFrame, way: str) -> str:
    """Draw the gains in falling order with their intervals, coloured where 0 is outside.

    Return how many intervals lie above and below 0, in words.
    """
    known = table.dropna(subset=f"{way}_gain")
    ranked = known.sort_values(f"{way}_gain", ascending=False, kind="stable")
    gain, low, high = (ranked[f"{way}_{end}"].to_numpy(float) for end in ("gain", "low", "high"))
    places = np.arange(len(ranked))
    surely = {True: low > 0, False: high < 0}
    surely[None] = ~(surely[True] | surely[False])
    for which, colour in _COLOURS.items():
        mask = surely[which]
        ax.vlines(places[mask], low[mask], high[mask], color=colour, linewidth=0.5, alpha=0.8)
    ax.plot(places, gain, zorder=4, **_GAIN)
    _mark_beyond(ax, places, low, high)
    ax.axhline(0, color=_style.INK, linewidth=0.6)
    return f"{surely[True].sum()} above 0, {surely[False].sum()} below"


def _mark_beyond(ax: Axes, places: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Mark at the edges where an interval goes on beyond the axis."""
    bottom, top = ax.get_ylim()
    for outside, edge, marker in ((low < bottom, bottom, "v"), (high > top, top, "^")):
        if outside.any():
            look = {**_BEYOND, "marker": marker, "clip_on": False, "zorder": 5}
            ax.plot(places[outside], np.full(outside.sum(), edge), **look)
