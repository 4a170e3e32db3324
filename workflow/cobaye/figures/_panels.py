"""Panels: a row per configuration, with title, legend, and marks of best, baseline, diverged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _style

_PAGE = 10.0  # inches: of A4 without its margins
_LOWEST = 0.7  # share of a row's wanted height
DIVERGED = {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.3, "linestyle": "none"}


class Configuration(NamedTuple):
    """A model and an optimizer."""

    model: str
    optimizer: str


def configurations(table: pd.DataFrame) -> list[Configuration]:
    """Return every configuration of a table, in order of appearance."""
    pairs = table[["model", "optimizer"]].drop_duplicates()
    return [Configuration(*map(str, pair)) for pair in pairs.itertuples(index=False)]


def of(table: pd.DataFrame, configuration: Configuration) -> pd.DataFrame:
    """Return the rows of one configuration."""
    return table[
        (table["model"] == configuration.model) & (table["optimizer"] == configuration.optimizer)
    ]


def best(tables: Mapping[str, pd.DataFrame], configuration: Configuration) -> str | None:
    """Return the best λ of a configuration, or None if none of its runs is finite."""
    chosen = of(tables["best-lambda"], configuration)["weight_decay"]
    return None if chosen.empty or pd.isna(chosen.iloc[0]) else str(chosen.iloc[0])


def loss_words(tables: Mapping[str, pd.DataFrame], configuration: Configuration) -> dict[str, str]:
    """Return the name and the unit of a configuration's loss, for a title's {loss} and {unit}."""
    runs = of(tables["runs"], configuration)
    kinds = set(runs["loss_name"]) if "loss_name" in runs else set()
    return _LOSS_WORDS[kinds.pop() if len(kinds) == 1 else "cross-entropy"]


_LOSS_WORDS = {
    "cross-entropy": {"loss": "cross-entropy", "unit": " (nats)"},
    "squared-error": {"loss": "squared error", "unit": ""},
    "softmax-squared-error": {"loss": "softmax squared error", "unit": ""},
}


def diverged(
    tables: Mapping[str, pd.DataFrame], configuration: Configuration
) -> set[tuple[str, int]]:
    """Return the (λ, seed) of every run of a configuration that did not stay finite."""
    runs = of(tables["runs"], configuration)
    runs = runs[~runs["finite"].astype(bool)]
    return set(zip(runs["weight_decay"].astype(str), runs["seed"], strict=True))


def lambdas(tables: Mapping[str, pd.DataFrame], configuration: Configuration) -> list[str]:
    """Return the λ of a configuration's runs, from the smallest up."""
    return _lambda_axis.order(of(tables["runs"], configuration)["weight_decay"])


def without_diverged(
    table: pd.DataFrame, tables: Mapping[str, pd.DataFrame], configuration: Configuration
) -> pd.DataFrame:
    """Return the rows of a configuration that come from runs that stayed finite."""
    rows, bad = of(table, configuration), diverged(tables, configuration)
    runs = zip(rows["weight_decay"].astype(str), rows["seed"], strict=True)
    return rows[np.array([run not in bad for run in runs], dtype=bool)]


def grid(
    rows: int, columns: int = 1, height: float = 2.2, legend: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [row, column].

    height: of one row; legend: of what stands below all rows; both in inches. Several rows that are
    higher than a page together are as low as that takes, or as `_LOWEST` lets them be. Without any
    row, the one panel says so.
    """
    count = max(rows, 1)
    if count > 1:
        height = max(min(height, (_PAGE - legend) / count), _LOWEST * height)
    figure = _style.figure(height * count + legend)
    axes = figure.subplots(count, columns, squeeze=False)
    if not rows:
        for ax in axes.flat:
            ax.set_axis_off()
        axes[0, 0].text(0.5, 0.5, "nothing to show", ha="center", transform=axes[0, 0].transAxes)
    return figure, axes


def title(
    ax: Axes, said: str, configuration: Configuration | None = None, several: bool = False
) -> None:
    """Say what a panel shows; above it, where there are several configurations, which it is."""
    if not several:
        ax.set_title(said, loc="left")
        return
    ax.set_title(f"\n{said}", loc="left")  # the first line leaves room for the name
    if configuration:
        ax.annotate(
            f"{configuration.model} · {configuration.optimizer}",
            (0, 1),
            (0, 8 + 10 * (said.count("\n") + 1)),
            xycoords="axes fraction",
            textcoords="offset points",
            fontweight="bold",
        ).set_in_layout(False)


def mark_best(ax: Axes, place: float | None) -> None:
    """Draw the vertical line of the λ that is best overall, if it stands on this axis."""
    if place is not None:
        ax.axvline(place, zorder=0.5, **BEST_LINE)


BEST_LINE = {"color": _style.ACCENT, "linewidth": 0.9, "linestyle": (0, (2, 2))}


def best_handle(one: str = "λ") -> Line2D:
    """Return the legend entry of `mark_best`. one: what is best, where it is not λ."""
    return Line2D([], [], label=f"best {one} (on val)", **BEST_LINE)


BASELINE_LINE = {"color": _style.GREY, "linewidth": 1.3, "linestyle": (0, (6, 3))}


def baseline(tables: Mapping[str, pd.DataFrame], split: str, column: str) -> float | None:
    """Return the score of the backbone's original last layer on a split, if the study has it."""
    table = tables["baseline"]
    values = table.loc[table["split"] == split, column] if column in table else ()
    return float(values.iloc[0]) if len(values) else None


def mark_baseline(
    ax: Axes, value: float | None, name: str = "the backbone's own last layer"
) -> list[Line2D]:
    """Draw the horizontal line of the baseline; return the legend entry, if there is one."""
    if value is None:
        return []
    ax.axhline(value, zorder=0.6, **BASELINE_LINE)
    return [Line2D([], [], label=name, **BASELINE_LINE)]


def mark_diverged(ax: Axes, places: np.ndarray) -> list[Line2D]:
    """Mark λ of which every run diverged, at the top; return the legend entry, if there is any."""
    if not len(places):
        return []
    top = {"transform": ax.get_xaxis_transform(), "clip_on": False}
    ax.plot(places, np.full(len(places), 0.96), color=_style.INK, **top, **DIVERGED)
    return [diverged_handle()]


def diverged_handle() -> Line2D:
    """Return the legend entry of a run that diverged."""
    return Line2D([], [], color=_style.INK, label="diverged", **DIVERGED)


def legend(owner: Axes | Figure, handles: Sequence[Any], **options: Any) -> None:
    """Put a legend right of a panel, or outside all panels, where it covers nothing.

    One of a figure has fewer columns than `ncols` where the figure is too narrow.
    """
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    if isinstance(owner, Figure):
        where = {"loc": "outside right upper"}
    look = {"alignment": "left", "ncols": 1, **where, **options}
    made = owner.legend(handles=handles, **look)
    while isinstance(owner, Figure) and look["ncols"] > 1 and _is_wider(made, owner):
        made.remove()
        look["ncols"] -= 1
        made = owner.legend(handles=handles, **look)


def _is_wider(made: Legend, figure: Figure) -> bool:
    return made.get_window_extent().width > figure.bbox.width
