"""The spread over classes of the effect of λ, beside sampling noise; and its reliability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"class-effects": {}}
TABLES = ("class-inference", "class-tests")

_BETWEEN: dict[str, Any] = {"color": _style.INK, "marker": "o", "markersize": 3.5}
_NOISE: dict[str, Any] = {"color": "#c9641d", "linestyle": (0, (5, 1.5)), "marker": "s"}
_NOISE["markersize"] = 3.0


@dataclass(frozen=True)
class Options:
    """The axis. Differences grow a hundredfold away from the best λ."""

    #: The standard deviations on a logarithmic axis.
    log: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw standard deviations left, split-half reliability right."""
    table = tables["class-inference"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), 2, 2.2, legend=0.3)
    for row, configuration in zip(axes, configurations, strict=False):
        effects, test = (
            _panels.of(table, configuration),
            _panels.of(tables["class-tests"], configuration).iloc[0],
        )
        axis = _lambda_axis.LambdaAxis(tuple(effects["weight_decay"]))
        _panels.title(row[0], _said(test), configuration, len(axes) > 1)
        _deviations(row[0], axis, effects, options.log)
        _reliability(row[1], axis, effects, test)
        for ax in row:
            _panels.mark_best(ax, axis.place(test["best"]))
            axis.dress(ax)
    if configurations:
        _panels.legend(fig, _handles(), loc="outside lower center", ncols=3)
    return fig


def _said(test: pd.Series) -> str:
    """Return whether the effect of λ is known to differ between classes, in words."""
    if not test["p_between"] <= 1 - test["level"]:
        return f"no unequal effect is known: p = {test['p_between']:.2g}"
    return f"λ acts unequally on classes: p = {test['p_between']:.2g}"


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], label="between classes, less noise", **_BETWEEN),
        Line2D([], [], label="noise of a class's mean", **_NOISE),
        _panels.best_handle(),
    ]


def _deviations(ax: Axes, axis: _lambda_axis.LambdaAxis, effects: pd.DataFrame, log: bool) -> None:
    places = axis.positions()
    ax.plot(places, effects["between_sd"], zorder=3, **_BETWEEN)
    low, high = effects["between_sd_low"], effects["between_sd_high"]
    ax.fill_between(places, low, high, color=_style.INK, alpha=0.15, linewidth=0)
    ax.plot(places, effects["noise_sd"], zorder=3, **_NOISE)
    if log:
        ax.set_yscale("log", nonpositive="mask")
    ax.set_ylabel("sd of the change of test\nloss from the best λ (nats)")


def _reliability(
    ax: Axes, axis: _lambda_axis.LambdaAxis, effects: pd.DataFrame, test: pd.Series
) -> None:
    places = axis.positions()
    known = np.isfinite(effects["reliability"].to_numpy(float))
    if known.any():
        ax.plot(places[known], effects["reliability"][known], zorder=3, **_BETWEEN)
        ends = effects["reliability_low"][known], effects["reliability_high"][known]
        ax.fill_between(places[known], *ends, color=_style.INK, alpha=0.15, linewidth=0)
    ax.axhline(0, color=_style.GREY, linewidth=0.6)
    ax.set_ylim(min(0, np.nanmin([0, *effects["reliability_low"]])) - 0.05, 1.05)
    ax.set_ylabel("split-half reliability\nof a class's change")
    if np.isfinite(test["kappa"]):
        ends = f"{test['kappa_low']:.2f} to {test['kappa_high']:.2f}"
        said = f"κ of best λ: {test['kappa']:.2f} ({ends})"
        ax.set_title(said.replace("-", "−"), loc="left")
