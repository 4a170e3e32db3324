"""The loss of every class against λ, coloured by its own λ (S0, figs. 5.1b and 5.2b)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _class_losses, _log_axis, _own_lambda, _panels, _style

NAMES = {
    "class-loss-train": {"split": "train"},
    "class-loss-val": {"split": "val"},
    "class-loss-test": {"split": "test"},
}
TABLES = ("classes", "runs", "best-lambda", "best-lambda-per-class", "baseline")

# Width of the legends, right of the panels, in inches.
_BESIDE = 2.1
_MEAN: dict[str, Any] = {"color": _style.INK, "linewidth": 1.6, "marker": "o", "markersize": 3}
# The classes between these quantiles are the central two thirds.
_ENDS = (1 / 6, 5 / 6)


@dataclass(frozen=True)
class Options:
    """Which images."""

    #: Split that is shown.
    split: Literal["train", "val", "test"] = "test"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the losses at the last epoch, each the mean over the finite seeds."""
    fig, rows = _class_losses.rows(tables, options.split, height=2.7)
    for ax, configuration, axis, best, classes in rows:
        losses = _class_losses.class_losses(classes, axis.labels)
        _panels.mark_best(ax, axis.place(best))
        own = _panels.of(tables["best-lambda-per-class"], configuration)
        own = own.set_index("class")["weight_decay"].astype(float).reindex(losses.index)
        handles = _lines(ax, axis.positions(), losses, own, best)
        if best is not None and len(axis.labels) > 1:
            handles.append(_panels.best_handle())
        level = _panels.baseline(tables, options.split, "loss")
        handles += _panels.mark_baseline(
            ax, level, "the backbone's own last\nlayer, mean of all images"
        )
        lost = losses.isna().all(axis=0).to_numpy()
        handles += _panels.mark_diverged(ax, axis.positions()[lost])
        axis.dress(ax, _BESIDE)
        words = _panels.loss_words(tables, configuration)
        ax.set_ylabel(f"mean {words['loss']} on {options.split}{words['unit']}")
        lowest = losses.mean().idxmin() if losses.notna().any(axis=None) else None
        said = f"the mean is lowest at λ = {lowest}" if lowest and len(axis.labels) > 1 else ""
        _panels.title(ax, said, configuration, len(rows) > 1)
        _panels.legend(ax, handles)
    return fig


def _lines(
    ax: Axes, places: np.ndarray, losses: pd.DataFrame, own: pd.Series, best: str | None
) -> list[Line2D | Patch]:
    """Draw every class, coloured by its own λ, and the summaries; return their legend entries."""
    values = losses.to_numpy(float)
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return []
    values, places = values[:, known], places[known]
    if len(places) == 1:  # a line of one point does not show
        look = {"color": _style.GREY, "linewidth": 0.4, "markersize": 12}
        ax.plot(np.repeat(places, len(values)), values[:, 0], "_", **look)
    side = _own_lambda.sides(own.to_numpy(float), np.nan if best is None else float(best))
    _own_lambda.lines(ax, places, values, side)
    low, high = np.nanquantile(values, _ENDS, axis=0)
    ax.fill_between(places, low, high, color=_style.INK, alpha=0.12, linewidth=0, zorder=0.4)
    ax.plot(places, np.nanmean(values, axis=0), zorder=4, **_MEAN)
    ax.set_yscale("log")
    _log_axis.ticks(ax)
    counts = [int((side == number).sum()) for number in range(len(_own_lambda.GROUPS))]
    return [
        Line2D([], [], label="mean of all classes,\neach counted once", **_MEAN),
        Patch(color=_style.INK, alpha=0.12, linewidth=0, label="central two thirds"),
        *_own_lambda.handles(counts if len(losses.columns) > 1 else [0, 0, 0]),
    ]
