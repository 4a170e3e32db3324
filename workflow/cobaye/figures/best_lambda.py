"""The number of classes with their lowest loss at each λ: bars (S0, figs. 5.1a and 5.2a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _class_losses, _lambda_axis, _null_counts, _panels, _style
from cobaye.figures._lambda_axis import same
from cobaye.tables import grid_ends

NAMES = {
    "best-lambda-train": {"split": "train"},
    "best-lambda-val": {"split": "val"},
    "best-lambda-test": {"split": "test"},
}
TABLES = ("classes", "runs", "best-lambda")
OPTIONAL_TABLES = ("null-best-lambda",)

# Of the best λ, and of others: both light enough for the marks of noise before them.
_BEST, _BAR = "#7f96a8", "#ccd6de"


@dataclass(frozen=True)
class Options:
    """Which images."""

    #: Split that is shown.
    split: Literal["train", "val", "test"] = "test"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the bars from the losses at the last epoch, each the mean over the finite seeds."""
    fig, rows = _class_losses.rows(tables, options.split, height=2.2, legend=0.3)
    handles: dict[str, Any] = {}
    for ax, configuration, axis, best, classes in rows:
        labels = axis.labels
        losses = _class_losses.class_losses(classes, labels)
        seeds = [_class_losses.class_losses(one, labels) for _, one in classes.groupby("seed")]
        alone = np.array([_class_losses.counts(one) for one in seeds])
        counts = _class_losses.counts(losses).to_numpy()
        tops, room = np.max([counts, *alone], axis=0), 0.0
        if (null := _null(tables, configuration, options.split, labels)) is not None:
            bands = null[["high", "shape_high"]].to_numpy(float).max(axis=1)
            # Marks well above a bar leave room for the share right above the bar.
            near = null[["low", "shape_low"]].to_numpy(float).min(axis=1) < 1.2 * tops + 0.5
            tops, room = np.where(near, np.fmax(tops, bands), tops), np.nanmax(bands)
        _bars(ax, counts, tops, [same(label, best) for label in labels])
        ax.set_ylim(0, max(*tops, room, 1) * 1.15)
        _name(ax, labels, best)
        if best is not None:
            _lambda_axis.note_ends(ax, grid_ends.ends(best, [], labels))
        _panels.title(ax, _said(counts, labels, best, null), configuration, len(rows) > 1)
        if best is not None:
            handles["best"] = Patch(facecolor=_BEST, label="best λ (on val)")
        if len(alone) > 1:
            handles["seed"] = _seeds(ax, alone)
        if null is not None:
            _null_counts.draw(ax, null)
            handles |= {one.get_label(): one for one in _null_counts.handles()}
        if len(crosses := np.flatnonzero(losses.isna().all(axis=0))):
            ax.plot(crosses, 0 * crosses, color=_style.INK, clip_on=False, **_panels.DIVERGED)
            handles["diverged"] = _panels.diverged_handle()
        ax.set_ylabel(f"classes with their lowest\nloss on {options.split}")
    if handles:
        below = {"loc": "outside lower center", "ncols": len(handles), "handlelength": 1.2}
        _panels.legend(fig, list(handles.values()), **below)
    return fig


def _null(
    tables: Mapping[str, pd.DataFrame],
    configuration: _panels.Configuration,
    split: str,
    labels: Sequence[str],
) -> pd.DataFrame | None:
    """Return the counts by noise alone, a row per λ, or None if the study has no such table."""
    if "null-best-lambda" not in tables:
        return None
    rows = _panels.of(tables["null-best-lambda"], configuration)
    if rows.empty:
        return None
    rows = rows[rows["split"] == split].set_index("weight_decay")
    return rows.reindex(list(labels))


def _said(
    counts: np.ndarray, labels: Sequence[str], best: str | None, null: pd.DataFrame | None
) -> str:
    """Return how many classes are at the best λ, and how many would be by noise, in words."""
    at = [place for place, label in enumerate(labels) if same(label, best)]
    if not at or len(labels) == 1:
        return ""
    said = f"{counts[at[0]]} of {counts.sum()} classes at the best λ, {best}"
    if null is None or pd.isna(null["shape_low"].iloc[at[0]]):
        return said
    low, high = (f"{null[f'shape_{end}'].iloc[at[0]]:.0f}" for end in ("low", "high"))
    return f"{said}; {low} to {high} by noise" if low != high else f"{said}; {low} by noise"


def _bars(ax: Axes, counts: np.ndarray, tops: np.ndarray, chosen: Sequence[bool]) -> None:
    """Draw the bars, and above each the share of all classes."""
    colours = [_BEST if is_best else _BAR for is_best in chosen]
    ax.bar(range(len(counts)), counts, 0.72, color=colours, edgecolor=_style.INK, linewidth=0.5)
    for place in np.flatnonzero(counts):
        percent = 100 * counts[place] / counts.sum()
        ax.annotate(
            f"{percent:.3g} %",
            (place, tops[place]),
            (0, 3.5),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
        )
    ax.yaxis.get_major_locator().set_params(integer=True)


def _name(ax: Axes, labels: Sequence[str], best: str | None) -> None:
    crowded = len(labels) > 7
    turn = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(range(len(labels)), labels, **turn)
    for text, label in zip(ax.get_xticklabels(), labels, strict=True):
        text.set_fontweight("bold" if same(label, best) else "normal")  # there may be no bar to see
    ax.tick_params(axis="x", length=0)
    middle, half = (len(labels) - 1) / 2, max(len(labels), 6) / 2 + 0.1
    ax.set(xlabel=_lambda_axis.AXIS_TITLE, xlim=(middle - half, middle + half))


def _seeds(ax: Axes, alone: np.ndarray) -> Line2D:
    """Draw the counts of each seed alone; return the legend entry."""
    style = {"marker": "_", "markersize": 9, "color": _style.ACCENT, "linestyle": "none"}
    for counts in alone:
        places = np.flatnonzero(counts)
        ax.plot(places, counts[places], zorder=3, **style)
    return Line2D([], [], label="one seed alone", **style)
