"""The λ chosen for each class against the class's size, accuracy and weight norm, by way."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from cobaye.figures import _lambda_axis, _panels, _style
from cobaye.tables import grid_ends, rival_names

NAMES = {"per-class-lambda": {}}
TABLES = ("per-class-lambda",)
# For the titles.
OPTIONAL_TABLES = ("rivals",)

# Column, axis title, factor.
_TRAITS = (
    ("n_train", "training images", 1),
    ("accuracy", "test accuracy (%)", 100),
    ("weight_norm", "weight norm", 1),
)
_DOT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.6,
    "markerfacecolor": _style.INK,
    "markeredgewidth": 0,
    "alpha": 0.45,
}
_GAP = 0.12  # between λ = 0 and the others, as a share of theirs


@dataclass(frozen=True)
class Options:
    """The spread of dots."""

    #: How far dots are moved sideways, as a share of the panel.
    spread: float = 0.012

    def __post_init__(self):
        if not 0 <= self.spread <= 0.1:
            raise ValueError(f"spread: {self.spread} is not in [0, 0.1]")


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the panels of each configuration and way that tells classes apart.

    A row is a way; of several configurations a row is two ways, so that the figure fits a page. All
    panels of one configuration share the axis of λ.
    """
    table = tables["per-class-lambda"]
    configurations = _panels.configurations(table)
    abreast = 2 if len(configurations) > 1 else 1
    rows = [
        (configuration, ways[place : place + abreast])
        for configuration in configurations
        for ways in [_ways(_panels.of(table, configuration))]
        for place in range(0, len(ways), abreast)
    ]
    # A trait that is the same for all classes says nothing.
    traits = [one for one in _TRAITS if table[one[0]].nunique() > 1] or [_TRAITS[1]]
    fig, axes = _panels.grid(len(rows), abreast * len(traits), 1.7 + 0.12 * abreast, legend=0.2)
    for row, (configuration, ways) in zip(axes, rows, strict=False):
        for number, part in enumerate(np.split(row, abreast)):
            if number >= len(ways):
                for ax in part:
                    ax.set_axis_off()
                continue
            _way(part, _panels.of(table, configuration), ways[number], traits, options.spread)
            said = _gain(tables, configuration, ways[number])
            said = said if abreast > 1 else said.replace("\n", " ")
            _panels.title(part[0], said, None if number else configuration, abreast > 1)
    if rows:
        handles = [Line2D([], [], label="a class", **_DOT), _panels.best_handle()]
        fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


def _ways(table: pd.DataFrame) -> list[str]:
    """Return the ways of one configuration that tell classes apart."""
    chosen = table.groupby("choice", sort=False)["weight_decay"].nunique()
    return list(chosen.index[chosen > 1])


def _way(
    axes: Sequence[Axes],
    choices: pd.DataFrame,
    way: str,
    traits: Sequence[tuple[str, str, float]],
    spread: float,
) -> None:
    """Draw the λ that one way chose against each trait. choices: by all ways."""
    heights = _heights(choices["weight_decay"])
    limits = _padded(heights, 0.06)
    chosen = choices["choice"] == way
    best = _heights(choices["best"], foot=heights.min())[0]
    for ax, trait in zip(axes, traits, strict=True):
        _dots(ax, choices[chosen], heights[chosen.to_numpy()], trait, spread)
        ax.axhline(best, zorder=0.5, **_panels.BEST_LINE)
        ax.set_ylim(limits)
        _ticks(ax, limits, choices)
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].set_ylabel(textwrap.fill(rival_names.NAMES.get(way, way), 16))


def _heights(labels: pd.Series, foot: float | None = None) -> np.ndarray:
    """Return log₁₀ λ; a λ of 0 stands well below the smallest other, or at `foot`."""
    values = labels.astype(float).to_numpy()
    logs = np.log10(np.where(values > 0, values, 1))
    if foot is None:
        known = logs[values > 0] if (values > 0).any() else np.zeros(1)
        foot = known.min() - max(_GAP * np.ptp(known), 0.5)
    return np.where(values > 0, logs, foot)


def _padded(values: np.ndarray, share: float) -> tuple[float, float]:
    room = max(share * np.ptp(values), 0.05)
    # The correlation is written above the dots.
    return values.min() - room, values.max() + 4 * room


def _dots(
    ax: Axes,
    table: pd.DataFrame,
    heights: np.ndarray,
    trait: tuple[str, str, float],
    spread: float,
) -> None:
    column, title, factor = trait
    places = table[column].to_numpy(float) * factor
    known = np.isfinite(places)
    places, heights = places[known], heights[known]
    same = len(places) == 0 or np.ptp(places) == 0
    # The same places each time: what is random in a figure changes its bytes.
    shift = 2 * (np.arange(len(places)) * 0.6180339887 % 1) - 1
    shift = shift * (0.3 if same else spread * np.ptp(places))
    ax.plot(places + shift, heights, **_DOT)
    ax.set_xlabel(title)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=column == "n_train"))
    text = _correlation(places, heights)
    ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=6.5)
    if same and len(places):
        ax.set_xlim(places[0] - 1, places[0] + 1)
        ax.set_xticks(places[:1], [f"{places[0]:g}"])


def _correlation(places: np.ndarray, heights: np.ndarray) -> str:
    if len(places) < 3 or np.ptp(places) == 0 or np.ptp(heights) == 0:
        return ""
    rho = stats.spearmanr(places, heights).statistic
    return f"ρ = {rho:+.2f}".replace("-", "−")


def _ticks(ax: Axes, limits: tuple[float, float], table: pd.DataFrame) -> None:
    """Label decades; where fewer than two are in sight, a few λ of the panel."""
    low, high = limits
    decades = np.arange(np.ceil(low), np.floor(high) + 1)
    values = table["weight_decay"].astype(float)
    logs = np.log10(values[values > 0])
    ticks = {float(one): f"1e{one:.0f}" for one in decades if one >= logs.min() - 0.2}
    if len(ticks) < 2:
        inside = np.linspace(logs.min(), logs.max(), 3) if len(logs) else []
        ticks = {float(height): grid_ends.label(10**height, 2) for height in inside}
    if (values == 0).any():
        foot = float(_heights(table["weight_decay"]).min())
        ticks[foot] = "0"
        if len(logs):
            _lambda_axis.mark_break(ax, (foot + logs.min()) / 2, "y")
    ax.set_yticks(sorted(ticks), [ticks[place] for place in sorted(ticks)])


def _gain(
    tables: Mapping[str, pd.DataFrame], configuration: _panels.Configuration, way: str
) -> str:
    """Return a way's difference in test loss, as text; nothing without the table of rivals."""
    if "rivals" not in tables:
        return ""
    table = _panels.of(tables["rivals"], configuration)
    one = table[table["rival"] == way].iloc[0]
    if pd.isna(one["loss_difference"]):
        return "no run stayed finite"
    mean, low, high = (f"{one[f'loss_{end}']:+.4f}" for end in ("difference", "low", "high"))
    return f"change of test loss\n{mean} ({low} to {high})".replace("-", "−")
