"""The accuracy of the classes worst off, and of the pair most confused, against λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"worst-classes": {}}
TABLES = ("worst-classes", "worst-pairs", "best-lambda")

_LOOKS: dict[str, dict[str, Any]] = {
    "lowest": {"color": _style.ACCENT, "marker": "v", "linestyle": (0, (1.2, 1.2))},
    "worst 10": {"color": "#c9641d", "marker": "s", "linestyle": (0, (5, 1.5))},
    "tenth": {"color": "#0b62a4", "marker": "o", "linestyle": "-"},
    "worst 100": {"color": _style.INK, "marker": "^", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
}
_WORDS = {"lowest": "the worst class", "tenth": "the worst tenth ({} classes)"}
_PAIR: dict[str, Any] = {"color": _style.GREY, "marker": "D", "linewidth": 0.9}


@dataclass(frozen=True)
class Options:
    """How the worst classes are picked."""

    #: Split on which the worst classes are picked. Their accuracy is on test.
    chosen_on: Literal["val", "test"] = "test"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a line per number of classes, and the share of the worst pair's images mistaken."""
    table = tables["worst-classes"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), size=(7.0, 3.0))
    for ax, configuration in zip(axes[:, 0], configurations, strict=False):
        classes = _panels.of(table, configuration)
        classes = classes[classes["chosen_on"] == options.chosen_on]
        axis = _lambda_axis.LambdaAxis(tuple(_lambda_axis.order(classes["weight_decay"])))
        best = _panels.best(tables, configuration)
        _panels.title(ax, configuration, best)
        _panels.mark_best(ax, axis.place(best))
        handles = _lines(ax, axis, classes)
        pairs = _panels.of(tables["worst-pairs"], configuration).set_index("weight_decay")
        pairs = pairs.loc[list(axis.labels)]
        ax.plot(axis.positions(), 100 * pairs["rate"], markersize=2.5, **_PAIR)
        handles.append(Line2D([], [], markersize=2.5, label=_pair(pairs, best), **_PAIR))
        axis.dress(ax)
        ax.set_ylim(0, None)
        ax.set_ylabel("accuracy on test (%)")
        _panels.legend(ax, [*handles, _panels.best_handle()])
    return fig


def _lines(ax: Axes, axis: _lambda_axis.LambdaAxis, table: pd.DataFrame) -> list[Line2D]:
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
        text = _WORDS.get(measure, "the worst {} classes").format(count)
        handles.append(Line2D([], [], markersize=3, linewidth=1.3, label=text, **look))
    return handles


def _pair(pairs: pd.DataFrame, best: str | None) -> str:
    """Return the legend of the worst pair's line, with the names at the best λ."""
    text = "images of the worst pair\ntaken for the other of the two (%)"
    if best in pairs.index and isinstance(pairs.at[best, "first"], str):
        names = (_style.class_name(pairs.at[best, end], 0, 14) for end in ("first", "second"))
        text += "\nat the best λ: “{}”, “{}”".format(*names)
    return text
