"""Each procedure's mean on test against its worst tenth of classes, beside one λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from cobaye.figures import _forest, _panels, _style
from cobaye.tables import rival_names

NAMES = {"mean-worst": {}}
TABLES = ("long-tail",)

# Measure across, axis title, factor.
_PANELS = (
    ("accuracy", "change of mean accuracy (points)", 100),
    ("loss", "change of mean loss (nats)", 1),
)
# Points nearer than this share of an axis have one label.
_NEAR = 0.035


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per configuration; a procedure has one number in all."""
    table = tables["long-tail"]
    table = table[table["group"] == "all"] if len(table) else table
    configurations = _panels.configurations(table)
    names = list(dict.fromkeys(_forest.judged(table)["rival"])) if len(table) else []
    fig, axes = _panels.grid(len(configurations), len(_PANELS), 2.6, 0.13 * (len(names) // 2 + 1))
    for row, configuration in zip(axes, configurations, strict=False):
        whole = _panels.of(table, configuration)
        rivals, one = _forest.judged(whole), whole[whole["rival"] == "one"].iloc[0]
        numbers = [names.index(name) + 1 for name in rivals["rival"]]
        for ax, (measure, title, factor) in zip(row, _PANELS, strict=True):
            _points(ax, rivals, numbers, measure, factor)
            value = f"{100 * one[measure]:.1f} %" if factor > 1 else f"{one[measure]:.3f}"
            ax.set_title(f"at best λ: {value}, worst tenth {100 * one['tenth']:.1f} %", loc="left")
            ax.set_xlabel(title)
            ax.xaxis.set_major_locator(MaxNLocator(5))
        row[0].set_ylabel("change of the worst tenth (points)")
        _panels.title(row[0], row[0].get_title("left"), configuration, len(axes) > 1)
    handles = [
        Line2D([], [], label=rival_names.NAMES.get(name, name), **_look(number))
        for number, name in enumerate(names, start=1)
    ]
    if handles:
        _panels.legend(fig, handles, loc="outside lower center", ncols=2)
    return fig


def _look(number: int) -> dict[str, object]:
    """Return the look of a legend entry: a number, where a dot would stand."""
    drawn = TextPath((0, 0), str(number), size=10)
    middle = Path(drawn.vertices - drawn.get_extents().get_points().mean(axis=0), drawn.codes)
    look = {"color": _style.INK, "linestyle": "none", "markeredgewidth": 0}
    return {"marker": middle, "markersize": 5.5 if number < 10 else 9.0, **look}


def _points(
    ax: Axes, rivals: pd.DataFrame, numbers: list[int], measure: str, factor: float
) -> None:
    """Draw dots with their 95 % intervals for other images, and a number at each."""
    x, y = (
        scale * rivals[[f"{name}_{end}" for end in ("difference", "low", "high")]].to_numpy(float)
        for name, scale in ((measure, factor), ("tenth", 100))
    )
    ends = [abs(each[:, 1:].T - each[:, 0]) for each in (x, y)]
    ax.errorbar(
        x[:, 0], y[:, 0], yerr=ends[1], xerr=ends[0], fmt="o", markersize=2.5, color=_style.INK,
        ecolor=_style.GREY, elinewidth=0.6, zorder=2,
    )  # fmt: skip
    for mark in (ax.axvline, ax.axhline):
        mark(0, zorder=0.5, **_panels.BEST_LINE)
    ax.margins(0.08)
    spans = np.array([np.diff(ax.get_xlim())[0], np.diff(ax.get_ylim())[0]])
    places = np.column_stack((x[:, 0], y[:, 0])) / spans
    left = list(range(len(places)))
    while left:
        near = [each for each in left if abs(places[each] - places[left[0]]).max() < _NEAR]
        left = [each for each in left if each not in near]
        text = ", ".join(str(numbers[each]) for each in near)
        ax.annotate(text, (x[near[0], 0], y[near[0], 0]), (3, 3), textcoords="offset points")
