"""Mean loss against λ for three classes, each minimum marked (S0, fig. 2.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.errors import ConfigError, nearest
from cobaye.figures import _class_losses, _lambda_axis, _panels, _style

NAMES = {"three-classes": {}}
TABLES = ("classes", "runs", "best-lambda", "best-lambda-per-class")

_LOOKS: list[dict[str, Any]] = [
    {"color": "#0b3c6f", "linestyle": "-", "marker": "o"},
    {"color": "#c9641d", "linestyle": (0, (5, 1.5)), "marker": "s"},
    {"color": "#8fc79b", "linestyle": (0, (1.2, 1.2)), "marker": "^"},
]
# Width of the legends, right of the panels, in inches.
_BESIDE = 2.0
_COUNTS = {2: "two", 3: "three"}
_MINIMUM: dict[str, Any] = {"marker": "*", "markersize": 9.5, "linestyle": "none"}


@dataclass(frozen=True)
class Options:
    """Which classes, on which images."""

    #: Three names, or numbers, of classes; `[]`: by the rule in the caption.
    classes: tuple[str, ...] = ()
    #: Split that is shown.
    split: Literal["train", "val", "test"] = "test"

    def __post_init__(self):
        if len(self.classes) > 3:
            raise ValueError(f"classes: at most three, not {len(self.classes)}")


def choose(per_class: pd.DataFrame) -> list[int]:
    """Return three classes that the overall best λ suits badly.

    They are among the tenth of the classes that pay most (at least three): those whose best λ is
    the smallest, the middle one and the largest. Among equals, the class that pays most.

    ``per_class`` is the table ``best-lambda-per-class`` of one configuration.
    """
    known = per_class.dropna(subset=["paid", "weight_decay"])
    known = known.assign(own=known["weight_decay"].astype(float))
    payers = known.sort_values(["paid", "class"], ascending=[False, True], kind="stable")
    payers = payers.head(max(3, math.ceil(len(known) / 10)))
    rising = payers.sort_values("own", kind="stable")["class"].tolist()
    falling = payers.sort_values("own", ascending=False, kind="stable")["class"].tolist()
    if len(rising) <= 3:
        return rising
    smallest, largest = rising[0], next(one for one in falling if one != rising[0])
    between = [one for one in rising if one not in (smallest, largest)]
    return [smallest, between[(len(between) - 1) // 2], largest]


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the losses at the last epoch, with their range over the finite seeds."""
    classes = tables["classes"]
    classes = classes[classes["split"] == options.split]
    names = dict(zip(classes["class"], classes["name"], strict=True))
    fig, rows = _class_losses.rows(tables, options.split, height=2.4)
    numbers = _numbers(names, tables, [row.configuration for row in rows], options.classes)
    for ax, configuration, axis, best, finite in rows:
        _panels.mark_best(ax, axis.place(best))
        handles = []
        for number, look in zip(numbers, _LOOKS, strict=False):
            class_rows = finite[finite["class"] == number]
            handles += _line(ax, axis, class_rows, look, _style.class_name(names[number], number))
        seen = finite["weight_decay"].unique()
        lost = [label not in seen for label in axis.labels]
        handles += _panels.mark_diverged(ax, axis.positions()[lost])
        handles.append(Line2D([], [], color="black", label="lowest loss of a class", **_MINIMUM))
        if best is not None and len(axis.labels) > 1:
            handles.append(_panels.best_handle())
        axis.dress(ax, _BESIDE)
        words = _panels.loss_words(tables, configuration)
        ax.set_ylabel(f"mean {words['loss']}\non {options.split}{words['unit']}")
        _panels.title(ax, _said(finite, numbers, axis), configuration, len(rows) > 1)
        _panels.legend(ax, handles)
    return fig


def _said(rows: pd.DataFrame, numbers: Sequence[int], axis: _lambda_axis.LambdaAxis) -> str:
    """Return at how many λ the classes have their lowest losses, in words."""
    shown = rows[rows["class"].isin(numbers)]
    own = _class_losses.lowest(_class_losses.class_losses(shown, axis.labels))
    if len(axis.labels) == 1 or own.empty:
        return ""
    if own.nunique() == 1:
        return f"lowest at one λ, {own.iloc[0]}"
    return f"lowest at {_COUNTS[own.nunique()]} different λ"


def _numbers(
    names: Mapping[int, str],
    tables: Mapping[str, pd.DataFrame],
    configurations: Sequence[_panels.Configuration],
    wanted: Sequence[str],
) -> list[int]:
    """Return the classes to draw: those wanted, or those chosen for the first row with a choice."""
    if not wanted:
        per_class = tables["best-lambda-per-class"]
        per_class = per_class[per_class["class"].isin(names)]
        chosen = (choose(_panels.of(per_class, configuration)) for configuration in configurations)
        return next(filter(None, chosen), list(names))[: len(_LOOKS)]
    by_name = {str(number): number for number in names}
    by_name |= {str(name): number for number, name in names.items()}
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"three-classes: no class {name!r}: {nearest(name, by_name)}")
    return [by_name[name] for name in wanted][: len(_LOOKS)]


def _line(
    ax: Axes, axis: _lambda_axis.LambdaAxis, rows: pd.DataFrame, look: dict[str, Any], name: str
) -> list[Line2D]:
    """Draw one class; return its legend entry, which gives the λ of its lowest loss."""
    per_run = rows[np.isfinite(rows["loss"].to_numpy(float))].groupby("weight_decay")["loss"]
    mean, low, high = (part.reindex(list(axis.labels)) for part in _summaries(per_run))
    places = axis.positions()
    ax.plot(places, mean, markersize=3.5, linewidth=1.4, **look)
    if (high > low).any():
        ax.fill_between(places, low, high, color=look["color"], alpha=0.15, linewidth=0)
    best = _class_losses.lowest(mean.to_frame().T)
    if best.empty:
        return [Line2D([], [], label=f"“{name}”", **look)]
    lowest = best.iloc[0]
    star = {**_MINIMUM, "color": look["color"], "markeredgecolor": "black", "zorder": 5}
    ax.plot([axis.place(lowest)], [mean[lowest]], **star)
    return [Line2D([], [], markersize=3.5, label=f"“{name}”,\nlowest at {lowest}", **look)]


def _summaries(per_run: Any) -> tuple[pd.Series, pd.Series, pd.Series]:
    return per_run.mean(), per_run.min(), per_run.max()
