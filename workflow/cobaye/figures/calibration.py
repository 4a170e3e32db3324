"""Calibration against λ: the expected calibration error, before and after one temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"calibration": {}}
TABLES = ("calibration",)

_RAW: dict[str, Any] = {"color": _style.INK, "marker": "o", "markersize": 3.2}
_SCALED: dict[str, Any] = {**_RAW, "color": "#c9641d", "marker": "s", "linestyle": (0, (5, 1.5))}
_CHANCE: dict[str, Any] = {"color": _style.GREY, "linestyle": (0, (1.2, 1.2))}


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of two panels per configuration: calibration error left, temperature right."""
    table = tables["calibration"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), 2, 2.2, legend=0.4)
    for row, configuration in zip(axes, configurations, strict=False):
        rows = _panels.of(table, configuration)
        best = rows["best"].iloc[0]
        axis = _lambda_axis.LambdaAxis(tuple(rows["weight_decay"]))
        at_best = rows[rows["weight_decay"] == best].iloc[0]
        errors = (100 * at_best[column] for column in ("ece", "scaled_ece"))
        said = "at the best λ {:.1f} points; after T, {:.1f}".format(*errors)
        _panels.title(row[0], said, configuration, len(axes) > 1)
        _panels.title(row[1], f"at the best λ T = {at_best['temperature']:.2f}")
        _errors(row[0], axis, rows)
        _temperatures(row[1], axis, rows)
        for ax in row:
            _panels.mark_best(ax, axis.place(best))
            axis.dress(ax)
    if configurations:
        handles = [
            Line2D([], [], label="as trained", **_RAW),
            Line2D([], [], label="after one temperature T", **_SCALED),
            Line2D([], [], label="by chance, if calibrated", **_CHANCE),
            _panels.best_handle(),
        ]
        _panels.legend(fig, handles, loc="outside lower center", ncols=2)
    return fig


def _errors(ax: Axes, axis: _lambda_axis.LambdaAxis, rows: pd.DataFrame) -> None:
    places = axis.positions()
    for prefix, look in (("", _RAW), ("scaled_", _SCALED)):
        ax.plot(places, 100 * rows[f"{prefix}ece"], zorder=3, **look)
        low, high = (100 * rows[f"{prefix}ece_{end}"] for end in ("low", "high"))
        ax.fill_between(places, low, high, color=look["color"], alpha=0.18, linewidth=0)
    ax.plot(places, 100 * rows["scaled_ece_by_chance"], zorder=2, **_CHANCE)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("expected calibration error\non test (points)")


def _temperatures(ax: Axes, axis: _lambda_axis.LambdaAxis, rows: pd.DataFrame) -> None:
    fitted = rows["temperature"]
    ax.plot(axis.positions(), fitted, zorder=3, **_RAW)
    ax.axhline(1, color=_style.GREY, linewidth=0.7, zorder=0.4)
    ax.set_yscale("log")
    ax.set_ylim(np.nanmin([0.5, 0.9 * fitted.min()]), np.nanmax([2, 1.1 * fitted.max()]))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("temperature T fitted on val\n(above 1: over-confident)")
