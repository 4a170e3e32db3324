"""Accuracy on test of each step of an ablation, beside train's, and its change (S1.9)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _configuration_curves, _panels, _style
from cobaye.tables import reported_epoch

NAMES = {"ablation": {}}
TABLES = ("metrics", "runs", "best-lambda")
SPLITS = ("train", "test")
# The option that is a number of last epochs, whose checkpoints must all be kept.
LAST_EPOCHS = "epochs"

_TEST: dict[str, Any] = {"color": _style.INK, "marker": "o", "markersize": 5, "linestyle": "none"}
_TRAIN: dict[str, Any] = {**_TEST, "markerfacecolor": "white", "color": _style.GREY}
_RANGE: dict[str, Any] = {"color": _style.INK, "linewidth": 1.0}


@dataclass(frozen=True)
class Options:
    """How many epochs a line covers."""

    #: Number of last epochs, over which a line shows the range on test.
    epochs: int = 5

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")


@dataclass(frozen=True)
class Step:
    """Accuracies in %, means over the seeds that stayed finite; NaN if none did.

    low, high: of test over seeds and last epochs. ended: why its runs ended, if all diverged.
    """

    test: float
    train: float
    low: float
    high: float
    ended: str = ""


def names(configurations: Sequence[_panels.Configuration]) -> list[str]:
    """Return the name of each step: the model or optimizer that differs from the step before."""
    steps = [f"{configurations[0].model} · {configurations[0].optimizer}"]
    for before, configuration in itertools.pairwise(configurations):
        new = [part for part, old in zip(configuration, before, strict=True) if part != old]
        steps.append("+ " + " · ".join(new))
    return steps


def step(
    tables: Mapping[str, pd.DataFrame], configuration: _panels.Configuration, epochs: int
) -> Step:
    """Return a configuration's accuracies at the λ of `_configuration_curves.weight_decay`."""
    runs = _configuration_curves.at_its_best(tables["runs"], tables, configuration)
    finite = runs[runs["finite"].astype(bool)]
    if finite.empty:
        return Step(np.nan, np.nan, np.nan, np.nan, runs["stopped"].iloc[0])
    metrics = _configuration_curves.at_its_best(tables["metrics"], tables, configuration)
    reported = reported_epoch.rows(metrics, finite).groupby("split")["accuracy"].mean()
    metrics = metrics.merge(finite[["seed", "epochs"]], on="seed")
    late = metrics["epoch"] > metrics["epochs"] - epochs
    held_out = metrics.loc[late & (metrics["split"] == "test"), "accuracy"]
    return Step(
        100 * reported.get("test", np.nan),
        100 * reported.get("train", np.nan),
        100 * held_out.min(),
        100 * held_out.max(),
    )


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a line per step, from the top down."""
    runs = tables["runs"]
    configurations = _panels.configurations(runs)
    rows = int(bool(configurations))
    fig, axes = _panels.grid(rows, 1, 0.9 + 0.26 * max(len(configurations), 3))
    if not configurations:
        return fig
    steps = [step(tables, configuration, options.epochs) for configuration in configurations]
    ax = axes[0, 0]
    for place, one in enumerate(steps):
        _mark(ax, place, one)
    ax.set_yticks(range(len(steps)), names(configurations))
    ax.set(ylim=(len(steps) - 0.5, -0.5), xlabel=f"accuracy at {reported_epoch.words(runs)} (%)")
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    _write(ax, steps)
    handles = [
        Line2D([], [], label="test", **_TEST),
        Line2D([], [], label=f"test, range over the last {options.epochs} epochs", **_RANGE),
        Line2D([], [], label="train", **_TRAIN),
    ]
    _panels.legend(fig, handles, loc="outside lower center", ncols=3)
    return fig


def _mark(ax: Axes, place: int, one: Step) -> None:
    if one.ended:
        middle = {"transform": ax.get_yaxis_transform(), "color": _style.INK}
        ax.plot([0.02], [place], **middle, **_panels.DIVERGED)
        ax.text(0.05, place, one.ended, va="center", fontsize=7, transform=middle["transform"])
        return
    ax.plot([one.low, one.high], [place] * 2, solid_capstyle="butt", **_RANGE)
    ax.plot([one.train], [place], **_TRAIN)
    ax.plot([one.test], [place], **_TEST)


def _write(ax: Axes, steps: Sequence[Step]) -> None:
    """Write test's accuracy, and its change against the step before, right of the panel."""
    right = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "right", "fontsize": 7}
    heads = {1.09: "test (%)", 1.21: "change"}
    for place, head in heads.items():
        ax.text(place, -0.85, head, **right, clip_on=False)
    before = np.nan
    for place, one in enumerate(steps):
        change = one.test - before
        texts = (f"{one.test:.1f}", f"{change:+.1f}".replace("-", "−"))
        for column, text, value in zip(heads, texts, (one.test, change), strict=True):
            ax.text(column, place, text if np.isfinite(value) else "–", **right)
        before = one.test
