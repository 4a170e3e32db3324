"""The loss of every class against λ, with mean and spread (S0, figs. 5.1b and 5.2b)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _class_losses, _panels, _style

NAMES = {
    "class-loss-train": {"split": "train"},
    "class-loss-val": {"split": "val"},
    "class-loss-test": {"split": "test"},
}
TABLES = ("classes", "runs", "best-lambda", "baseline")

_MOST_OUTLINES = 500
_EACH: dict[str, Any] = {"color": _style.GREY, "linewidth": 0.4}
_MEAN: dict[str, Any] = {"color": _style.INK, "linewidth": 1.8, "marker": "o", "markersize": 3.5}
_SPREAD: dict[str, Any] = {"color": _style.INK, "linewidth": 1.2, "linestyle": (0, (1, 1.4))}
_LARGEST: dict[str, Any] = {
    "color": "#0b62a4",
    "linewidth": 1.5,
    "linestyle": (0, (5, 1.5)),
    "marker": "s",
    "markersize": 3.2,
}


@dataclass(frozen=True)
class Options:
    """Which images."""

    #: Split that is shown.
    split: Literal["train", "val", "test"] = "test"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the losses at the last epoch, each the mean over the finite seeds."""
    fig, rows = _class_losses.rows(tables, options.split, size=(7.0, 3.2))
    for ax, configuration, axis, best, classes in rows:
        losses = _class_losses.class_losses(classes, axis.labels)
        _panels.mark_best(ax, axis.place(best))
        handles = _lines(ax, axis.positions(), losses)
        if best is not None:
            handles.append(_panels.best_handle())
        handles += _panels.mark_baseline(ax, _panels.baseline(tables, options.split, "loss"))
        lost = losses.isna().all(axis=0).to_numpy()
        handles += _panels.mark_diverged(ax, axis.positions()[lost])
        axis.dress(ax)
        words = _panels.loss_words(tables, configuration)
        ax.set_ylabel(f"mean {words['loss']} on {options.split}{words['unit']}")
        _panels.legend(ax, handles)
    return fig


def _lines(ax: Axes, places: np.ndarray, losses: pd.DataFrame) -> list[Line2D]:
    """Draw every class and the summaries; return their legend entries."""
    values = losses.to_numpy(float)
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return []
    values, places = values[:, known], places[known]
    lines = [np.column_stack([places, row]) for row in values]
    alpha = min(
        max(80 / len(lines), 0.12), 0.5
    )  # so that a thousand lines still show where most are
    # Thousands of outlines make an SVG of megabytes, and show no more than a picture does.
    picture = len(lines) > _MOST_OUTLINES
    ax.add_collection(LineCollection(lines, alpha=alpha, rasterized=picture, **_EACH))
    if len(places) == 1:  # a line of one point does not show
        ax.plot(np.repeat(places, len(values)), values[:, 0], "_", markersize=12, **_EACH)
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    ax.plot(places, mean, zorder=4, **_MEAN)
    for bound in (mean - spread, mean + spread):
        ax.plot(places, bound, zorder=3, **_SPREAD)
    handles = [
        Line2D([], [], label=f"each of {len(values)} classes", **_EACH),
        Line2D([], [], label="mean of all classes", **_MEAN),
        Line2D([], [], label="mean ± standard deviation\nacross classes", **_SPREAD),
    ]
    lowest = _class_losses.lowest(losses)
    largest = lowest.value_counts().reindex(losses.columns[::-1]).idxmax()
    group = losses.loc[lowest.index[lowest == largest]].to_numpy(float)[:, known]
    ax.plot(places, np.nanmean(group, axis=0), zorder=5, **_LARGEST)
    name = f"mean of the {len(group)} classes with their\nlowest loss at {largest} (largest group)"
    return [*handles, Line2D([], [], label=name, **_LARGEST)]
