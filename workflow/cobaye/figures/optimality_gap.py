"""The gap between each run and the optimum of its objective, against λ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"optimality-gap": {}}
TABLES = ("optimality-gap",)

# Column, title, factor, whether on a logarithmic axis.
_QUANTITIES = (
    ("objective_gap", "objective above\nthe optimum (nats)", 1.0, True),
    ("test_loss_gap", "test loss above\nthe optimum's (nats)", 1.0, False),
    ("test_disagreement", "test images given\nanother class (%)", 100.0, False),
)
# What float32 losses still tell apart.
_RESOLVED = 1e-6
_ENOUGH = {"color": _style.GREY, "linewidth": 0.9, "linestyle": (0, (1, 1.5)), "zorder": 0.5}


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per configuration whose model has `exact` runs too."""
    table = tables["optimality-gap"]
    table = table[table["weight_decay"].isin(_lambda_axis.order(table["weight_decay"]))]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), len(_QUANTITIES), 2.5, legend=0.3)
    for row, configuration in zip(axes, configurations, strict=False):
        runs = _panels.of(table, configuration)
        axis = _lambda_axis.LambdaAxis(tuple(_lambda_axis.order(runs["weight_decay"])))
        shrinkage = runs.groupby("weight_decay")["shrinkage"].mean().reindex(axis.labels)
        for ax, quantity in zip(row, _QUANTITIES, strict=True):
            _draw(ax, runs, axis, *quantity)
            _mark_shrinkage(ax, axis, shrinkage.to_numpy(float))
        row[0].annotate(
            f"{configuration.model} · {configuration.optimizer} against {runs['exact'].iloc[0]}",
            (0, 1),
            (0, 34),
            xycoords="axes fraction",
            textcoords="offset points",
        )
    if configurations:
        handles = [
            Line2D(
                [], [], color=_style.INK, marker="o", markersize=3, label="each λ, mean over seeds"
            ),
            Line2D(
                [],
                [],
                label="λ · Σ α/(1−μ) = 1: left of it, early\nstopping regularises as well",
                **_ENOUGH,
            ),
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig


def _draw(
    ax: Axes,
    runs: pd.DataFrame,
    axis: _lambda_axis.LambdaAxis,
    column: str,
    title: str,
    factor: float,
    log: bool,
) -> None:
    seeds = runs.pivot(index="weight_decay", columns="seed", values=column).reindex(axis.labels)
    values = seeds.to_numpy(float) * factor
    if log:
        values = np.maximum(values, _RESOLVED)
    places = axis.positions()
    for part in _parts(axis):
        ax.plot(places[part], values[part].mean(axis=1), color=_style.INK, marker="o", markersize=3)
        low, high = values[part].min(axis=1), values[part].max(axis=1)
        ax.fill_between(places[part], low, high, color=_style.INK, alpha=0.15, linewidth=0)
    ax.set_ylabel(title)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(numticks=8))
        ax.yaxis.set_major_formatter(FuncFormatter(_power))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.axhline(0, color=_style.GREY, linewidth=0.7, zorder=0.4)
        ax.yaxis.set_major_locator(MaxNLocator(6))
    axis.dress(ax)


def _parts(axis: _lambda_axis.LambdaAxis) -> list[slice]:
    """Return the slices of λ = 0, left of the axis break, and of the other λ."""
    zero = int(bool(axis.labels) and float(axis.labels[0]) == 0)
    return [part for part in (slice(0, zero), slice(zero, None)) if axis.labels[part]]


def _power(value: float, _: int) -> str:
    return _style.power_of_ten(round(np.log10(value)))


def _mark_shrinkage(ax: Axes, axis: _lambda_axis.LambdaAxis, shrinkage: np.ndarray) -> None:
    """Give the panel a second axis, of λ times the sum of the learning rates, and mark 1 on it.

    The two are one axis, shifted, if all runs made the same steps; otherwise there is none.
    """
    known = shrinkage > 0
    shifts = np.log10(shrinkage[known]) - axis.positions()[known]
    if not len(shifts) or np.ptp(shifts) > 0.01:
        return
    shift = float(shifts.mean())
    low, high = axis.positions()[known][[0, -1]] + shift
    top = ax.secondary_xaxis("top", functions=(lambda x: x + shift, lambda x: x - shift))
    decades = np.arange(np.ceil(low), np.floor(high) + 1)
    step = -(-len(decades) // 4) or 1
    ticks = [decade for decade in decades if decade % step == 0]
    top.set_xticks(ticks, [_style.power_of_ten(int(tick)) if tick else "1" for tick in ticks])
    top.set_xlabel("λ · Σ α/(1−μ)")
    if low < 0 < high:
        ax.axvline(-shift, **_ENOUGH)
