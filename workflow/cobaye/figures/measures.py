"""Confidence or error: the spread over classes of the effect of λ, in four measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"measures": {}}
TABLES = ("measures", "runs")

_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "loss": ("loss", {"color": _style.INK, "marker": "o"}),
    "scaled_loss": (
        "loss after one temperature T",
        {"color": "#c9641d", "marker": "s", "linestyle": (0, (5, 1.5))},
    ),
    "brier": ("Brier score (0 to 2)", {"color": "#0b62a4", "marker": "D"}),
    "error": (
        "0/1 error",
        {"color": _style.GREY, "marker": "^", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    ),
}
_PANELS = (("loss", "scaled_loss"), ("brier", "error"))
_SHORT = {"loss": "loss", "scaled_loss": "after T", "brier": "Brier", "error": "0/1"}


@dataclass(frozen=True)
class Options:
    """The axes."""

    #: The standard deviations on logarithmic axes.
    log: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of two panels per configuration: in nats left, in shares right."""
    table = tables["measures"]
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), 2, 2.2, legend=0.4)
    for row, configuration in zip(axes, configurations, strict=False):
        effects = _panels.of(table, configuration)
        best = effects["best"].iloc[0]
        axis = _lambda_axis.LambdaAxis(tuple(_lambda_axis.order(effects["weight_decay"])))
        unit = _panels.loss_words(tables, configuration)["unit"]
        differences = (f"test loss{unit}", "test score or error")
        for ax, names, of in zip(row, _PANELS, differences, strict=True):
            _panel(ax, axis, effects, names, options.log)
            _panels.mark_best(ax, axis.place(best))
            ax.set_ylabel(f"sd of the change of\n{of}")
            axis.dress(ax)
            ax.set_title(_said(effects, names), loc="left")
        _panels.title(row[0], row[0].get_title("left"), configuration, len(axes) > 1)
    if configurations:
        handles = [
            Line2D([], [], label=label, **_look(name)) for name, (label, _) in _LOOKS.items()
        ]
        _panels.legend(fig, [*handles, _panels.best_handle()], loc="outside lower center", ncols=3)
    return fig


def _said(effects: pd.DataFrame, names: tuple[str, ...]) -> str:
    """Return the standard deviations at the smallest λ, in words."""
    label = _lambda_axis.order(effects["weight_decay"])[0]
    at = effects[effects["weight_decay"] == label].set_index("measure")["between_sd"]
    return f"at λ = {label}: " + ", ".join(
        f"{_SHORT[name]} {at[name]:.2g}" for name in names if name in at
    )


def _look(name: str) -> dict[str, Any]:
    return {"markersize": 3.2, **_LOOKS[name][1]}


def _panel(
    ax: Axes,
    axis: _lambda_axis.LambdaAxis,
    effects: pd.DataFrame,
    names: tuple[str, ...],
    log: bool,
) -> None:
    places = axis.positions()
    for name in names:
        rows = effects[effects["measure"] == name].set_index("weight_decay").reindex(axis.labels)
        look = _look(name)
        ax.plot(places, rows["between_sd"], zorder=3, **look)
        low, high = rows["between_sd_low"], rows["between_sd_high"]
        ax.fill_between(places, low, high, color=look["color"], alpha=0.18, linewidth=0)
    if log:
        ax.set_yscale("log", nonpositive="mask")
