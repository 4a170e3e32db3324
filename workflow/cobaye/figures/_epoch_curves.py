"""Quantities against epochs, one curve per λ (S0, chapter 4)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _log_axis, _panels, _style

_EARLY = 0.1  # share of the epochs, from the first on, that the y axis need not hold
_LEGEND_COLUMNS = 5
_LONGEST = 25  # letters of a line of an axis title
_WIDTH, _BEST_WIDTH = 1.1, 2.2
_HUGE = 1e30  # far above any loss; past it, matplotlib's own arithmetic overflows
# The epoch that stands for a run, where that is not the last.
REPORTED = {"marker": "D", "markersize": 4.2, "markerfacecolor": "white", "linestyle": "none"}


@dataclass(frozen=True)
class Quantity:
    """A column of a table as one column of panels; {loss} and {unit} in its title are filled in."""

    column: str
    title: str
    factor: float = 1.0
    log: bool = False
    ends: str = "{:.3g}"  # how its last value is written


@dataclass(frozen=True)
class Curve:
    """Mean over seeds with its range.

    ends: the last finite points of runs that diverged. reported: those of the epochs that the study
    chose, one per run that stayed finite.
    """

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ends: list[tuple[float, float]]
    whole: bool  # at least one run stayed finite
    reported: tuple[tuple[float, float], ...] = ()


def curve(values: pd.DataFrame, bad: set[int], factor: float = 1.0) -> Curve:
    """Return the curve of one λ from ``values`` (epoch × seed); ``bad``: seeds that diverged.

    Runs that diverged count only if all did. The curve ends with the shortest of the runs that
    count, so that none of its steps comes from a run that ends.
    """
    epochs = values.index.to_numpy(float)
    runs = values.to_numpy(float) * factor
    runs = np.where(np.abs(runs) < _HUGE, runs, np.nan)
    is_bad = np.array([seed in bad for seed in values.columns])
    counted = runs[:, ~is_bad] if not is_bad.all() else runs
    counted = counted[:, ~np.isnan(counted).all(axis=0)]
    ends = []
    for run in runs[:, is_bad].T:
        seen = np.flatnonzero(np.isfinite(run))
        never = (max(epochs[0], 1.0), math.inf)
        ends.append((epochs[seen[-1]], run[seen[-1]]) if len(seen) else never)
    keep = np.isfinite(counted).all(axis=1) if counted.shape[1] else np.zeros(len(epochs), bool)
    common = counted[keep]
    if not len(common):
        empty = np.empty(0)
        return Curve(empty, empty, empty, empty, ends, False)
    low, high = common.min(axis=1), common.max(axis=1)
    return Curve(epochs[keep], common.mean(axis=1), low, high, ends, not is_bad.all())


def figure(
    table: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    quantities: Sequence[Quantity],
    height: float,
    split: str | None = None,
) -> Figure:
    """Draw ``quantities`` of ``table`` (a row per run and epoch) against epochs.

    ``tables`` holds ``runs`` and ``best-lambda``; ``height`` is of one row of panels, in inches.
    ``split``: the one whose baseline is drawn, where the table ``baseline`` has it.
    """
    configurations, labels = (
        _panels.configurations(table),
        _lambda_axis.order(table["weight_decay"]),
    )
    legend = 0.3 + 0.16 * math.ceil(len(labels) / _LEGEND_COLUMNS)
    fig, axes = _panels.grid(len(configurations), len(quantities), height, legend)
    crosses, baselines = False, {}
    for row, configuration in zip(axes, configurations, strict=False):
        best, bad = _panels.best(tables, configuration), _panels.diverged(tables, configuration)
        rows = _panels.of(table, configuration)
        for ax, quantity in zip(row, quantities, strict=True):
            curves = {
                label: curve(
                    _by_seed(runs, quantity.column),
                    {seed for other, seed in bad if other == label},
                    quantity.factor,
                )
                for label in labels
                if len(runs := rows[rows["weight_decay"] == label])
            }
            level = split and _panels.baseline(tables, split, quantity.column)
            level = None if level is None else level * quantity.factor
            title = quantity.title.format(**_panels.loss_words(tables, configuration))
            _draw(ax, curves, labels, best, replace(quantity, title=title), level)
            said = _ending(curves, best, quantity, several=len(labels) > 1)
            if said and len(labels) > 1 and "epoch" in tables["runs"]:
                said += " at the end"
            _panels.title(ax, said, configuration if ax is row[0] else None, len(axes) > 1)
            baselines |= {handle.get_label(): handle for handle in _panels.mark_baseline(ax, level)}
            crosses |= any(one.ends for one in curves.values())
    if configurations:
        chosen = {_panels.best(tables, one) for one in configurations}
        _legend(fig, labels, chosen, crosses, list(baselines.values()))
    return fig


def _ending(
    curves: Mapping[str, Curve], best: str | None, quantity: Quantity, *, several: bool
) -> str:
    """Return the last value of the curve of the best λ, or of the only one, in words."""
    ended = [one for label, one in curves.items() if not several or _lambda_axis.same(label, best)]
    if not ended or not ended[0].whole or not len(ended[0].mean):
        return ""
    return ("at best λ: " if several else "at the end: ") + quantity.ends.format(ended[0].mean[-1])


def _by_seed(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a quantity of one λ, epoch × seed.

    A solver's run has a row per finished step, and seeds differ in these epochs. Until the next row
    the weights stay the same.
    """
    wide = runs.pivot(index="epoch", columns="seed", values=column)
    return wide.ffill().where(wide.bfill().notna())


def _draw(
    ax: Axes,
    curves: Mapping[str, Curve],
    labels: Sequence[str],
    best: str | None,
    quantity: Quantity,
    level: float | None,
) -> None:
    frame(ax, quantity, *limits(list(curves.values()), quantity.log, level))
    epochs = np.concatenate([one.epochs for one in curves.values()] or [[]])
    if len(set(epochs)) == 1:
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
    for label, one in curves.items():
        width = _BEST_WIDTH if _lambda_axis.same(label, best) else _WIDTH
        plot(ax, one, {**_style.look(labels.index(label), len(labels)), "linewidth": width})


def frame(ax: Axes, quantity: Quantity, bottom: float, top: float) -> None:
    """Name and limit the axes of a quantity against epochs."""
    ax.set(xlabel="epoch", ylabel=textwrap.fill(quantity.title, _LONGEST), ylim=(bottom, top))
    if quantity.log:
        _log_axis.scale(ax, top / bottom)
    ax.xaxis.get_major_locator().set_params(integer=True)


def plot(ax: Axes, one: Curve, style: Mapping[str, Any]) -> None:
    """Draw a curve and its range over seeds; a cross ends a run that diverged.

    What lies beyond the axis leaves it: a curve along its edge would look like a constant.
    """
    bottom, top = ax.get_ylim()
    mean, low, high = (_near(part, ax) for part in (one.mean, one.low, one.high))
    marker = "o" if len(mean) == 1 else None
    ax.plot(one.epochs, mean, marker=marker, markersize=3.5, **style)
    if np.any(high > low):
        ax.fill_between(one.epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
    for epoch, value in one.ends:
        place = min(max(value, bottom), top)
        cross = {"color": style["color"], "clip_on": False, "zorder": 4}
        ax.plot([epoch], [place], **cross, **_panels.DIVERGED)
    for epoch, value in one.reported:
        place = min(max(value, bottom), top)
        ax.plot([epoch], [place], color=style["color"], zorder=4, **REPORTED)


def _near(values: np.ndarray, ax: Axes) -> np.ndarray:
    """Return values cut a thousand heights of the axis away, where files still hold them."""
    bottom, top = ax.get_ylim()
    if ax.get_yscale() == "log":
        return np.clip(values, bottom / 1e6, top * 1e6)
    return np.clip(values, bottom - 1e3 * (top - bottom), top + 1e3 * (top - bottom))


def limits(curves: Sequence[Curve], log: bool, level: float | None = None) -> tuple[float, float]:
    """Return the limits of the y axis: those of the finite runs, so that no other run hides them.

    The first tenth of the epochs may leave the axis. level: one more value to show.
    """
    shown = [one for one in curves if one.whole] or list(curves)
    late = [np.concatenate([_late(one, one.low), _late(one, one.high)]) for one in shown]
    values = np.concatenate(late or [[]])
    values = np.append(values, [] if level is None else [level])
    values = values[values > 0] if log else values
    if not len(values):
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        return low / 1.15, high * 1.15
    pad = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
    return low - pad, high + pad


def _late(one: Curve, values: np.ndarray) -> np.ndarray:
    """Return the values of a curve without its first epochs, which would flatten all others."""
    return values[int(_EARLY * len(one.epochs)) :]


def _legend(
    fig: Figure,
    labels: Sequence[str],
    chosen: set[str | None],
    crosses: bool,
    baselines: Sequence[Line2D],
) -> None:
    """Say what the lines are, below all panels; a single λ needs no name."""
    handles = []
    for index, label in enumerate(labels if len(labels) > 1 else ()):
        is_best = any(_lambda_axis.same(label, best) for best in chosen)
        width = _BEST_WIDTH if is_best and len(chosen) == 1 else _WIDTH
        name = f"{label}, best" if is_best and len(chosen) == 1 else label
        look = _style.look(index, len(labels)) | {"linewidth": width}
        handles.append(Line2D([], [], label=name, **look))
    if len(labels) > 1 and len(chosen) > 1:
        best = {"color": _style.GREY, "linewidth": _BEST_WIDTH}
        handles.append(Line2D([], [], label="best of a row", **best))
    if crosses:
        handles.append(_panels.diverged_handle())
    if handles := [*handles, *baselines]:
        title = f"{_lambda_axis.AXIS_TITLE} (best: on val)" if len(labels) > 1 else None
        below = {"loc": "outside lower center", "ncols": min(len(handles), _LEGEND_COLUMNS)}
        _panels.legend(fig, handles, title=title, handlelength=2.4, columnspacing=1.4, **below)
