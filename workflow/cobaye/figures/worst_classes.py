"""The accuracy of the classes worst off, and of the pair most confused, against λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"worst-classes": {}}
TABLES = ("worst-classes", "worst-pairs", "best-lambda", "best-lambda-per-class")

_LOOKS: dict[str, dict[str, Any]] = {
    "lowest": {"color": _style.COLOURS[2], "marker": "v", "linestyle": (0, (1.2, 1.2))},
    "worst 10": {"color": _style.COLOURS[5], "marker": "s", "linestyle": (0, (5, 1.5))},
    "tenth": {"color": _style.COLOURS[1], "marker": "o", "linestyle": "-"},
    "worst 100": {"color": _style.INK, "marker": "^", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
}
_WORDS = {"lowest": "the worst class", "tenth": "the worst tenth ({} classes)"}
# Width of the legends, right of the panels, in inches.
_BESIDE = 1.9


@dataclass(frozen=True)
class Options:
    """How the worst classes are picked."""

    #: Split on which the worst classes are picked. Their accuracy is on test.
    chosen_on: Literal["val", "test"] = "test"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a line per number of classes; above, the pair of classes most often mistaken."""
    table = tables["worst-classes"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), height=2.6)
    for ax, configuration in zip(axes[:, 0], configurations, strict=False):
        classes = _panels.of(table, configuration)
        classes = classes[classes["chosen_on"] == options.chosen_on]
        axis = _lambda_axis.LambdaAxis(tuple(_lambda_axis.order(classes["weight_decay"])))
        best = _panels.best(tables, configuration)
        _panels.mark_best(ax, axis.place(best))
        names = _panels.of(tables["best-lambda-per-class"], configuration)["class"]
        handles = _lines(ax, axis, classes, names.nunique())
        handles.append(Patch(color=_style.GREY, alpha=0.3, linewidth=0, label="95 % intervals"))
        if best is not None and len(axis.labels) > 1:
            handles.append(_panels.best_handle())
        pairs = _panels.of(tables["worst-pairs"], configuration).set_index("weight_decay")
        _panels.title(ax, _pair(pairs, best or axis.labels[0]), configuration, len(axes) > 1)
        axis.dress(ax, _BESIDE)
        ax.set_ylim(0, None)
        ax.set_ylabel("accuracy on test (%)")
        _panels.legend(ax, handles)
    return fig


def _lines(
    ax: Axes, axis: _lambda_axis.LambdaAxis, table: pd.DataFrame, total: int
) -> list[Line2D | Patch]:
    """Draw the measures, each number of classes once; return the legend entries."""
    handles, drawn = [], set()
    for measure, look in _LOOKS.items():
        rows = table[table["measure"] == measure].set_index("weight_decay").loc[list(axis.labels)]
        count = int(rows["classes"].iloc[0])
        if count == 0 or count in drawn:
            continue
        drawn.add(count)
        mean, low, high = (100 * rows[end] for end in ("accuracy", "low", "high"))
        places = axis.positions()
        ax.plot(places, mean, markersize=3, linewidth=1.3, **look)
        ax.fill_between(places, low, high, color=look["color"], alpha=0.13, linewidth=0)
        text = "all {} classes" if count == total else _WORDS.get(measure, "the worst {} classes")
        handles.append(
            Line2D([], [], markersize=3, linewidth=1.3, label=text.format(count), **look)
        )
    return handles


def _pair(pairs: pd.DataFrame, label: str) -> str:
    """Return the pair of classes most often mistaken for each other at a λ, in words."""
    if label not in pairs.index or not isinstance(pairs.at[label, "first"], str):
        return ""
    first, second = (_style.class_name(pairs.at[label, end], 0, 20) for end in ("first", "second"))
    rate = 100 * pairs.at[label, "rate"]
    return f"most confused at λ = {label}: “{first}” and “{second}”, {rate:.0f} %"
