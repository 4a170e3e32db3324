"""The gain of each class on test by a λ for each class, chosen in three ways, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _panels, _style

NAMES = {"class-gain": {}}
TABLES = ("class-gains", "compromise")

_WAYS = {
    "naive": "naive: chosen on test",
    "honest": "honest: chosen on val",
    "shrunk": "honest: shrunk curves of val",
}
_COLOURS = {True: "#0b62a4", False: _style.ACCENT, None: _style.GREY}


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
    fig, axes = _panels.grid(len(configurations), 3, size=(8.6, 2.9))
    for row, configuration in zip(axes, configurations, strict=False):
        gains, mean = (
            _panels.of(table, configuration),
            _panels.of(tables["compromise"], configuration),
        )
        estimates = gains[[f"{way}_gain" for way in _WAYS]].to_numpy(float)
        shown = np.abs(estimates[np.isfinite(estimates)])
        limit = 1.15 * max(np.quantile(shown, options.inside), 1e-3) if len(shown) else 1
        for ax, (way, name) in zip(row, _WAYS.items(), strict=True):
            _ranked(ax, gains, way)
            ax.set(ylim=(-limit, limit), xlabel="classes, ranked by gain")
            ax.set_title(f"{name}\n{_mean(mean, way)}", loc="left")
        row[0].set_ylabel(
            f"{configuration.model} · {configuration.optimizer}\ngain in test loss (nats)"
        )
    return fig


def _mean(table: pd.DataFrame, way: str) -> str:
    """Return a way's mean gain with its interval, as text."""
    one = table[(table["choice"] == way) & (table["measure"] == "loss")]
    one = one[one["resampled"] == "test"].iloc[0]
    text = f"mean {one['gain']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"
    return text.replace("-", "−")


def _ranked(ax: Axes, table: pd.DataFrame, way: str) -> None:
    """Draw the gains in falling order with their intervals, coloured where 0 is outside."""
    known = table.dropna(subset=f"{way}_gain")
    ranked = known.sort_values(f"{way}_gain", ascending=False, kind="stable")
    gain, low, high = (ranked[f"{way}_{end}"].to_numpy(float) for end in ("gain", "low", "high"))
    places = np.arange(len(ranked))
    surely = {True: low > 0, False: high < 0}
    surely[None] = ~(surely[True] | surely[False])
    for which, colour in _COLOURS.items():
        mask = surely[which]
        ax.vlines(places[mask], low[mask], high[mask], color=colour, linewidth=0.5, alpha=0.8)
    ax.plot(places, gain, ".", color=_style.INK, markersize=2.2, zorder=4)
    ax.axhline(0, color=_style.INK, linewidth=0.6)
    counts = f"{surely[True].sum()} above 0, {surely[False].sum()} below"
    ax.text(0.98, 0.96, counts, transform=ax.transAxes, ha="right", va="top", fontsize=6.5)
