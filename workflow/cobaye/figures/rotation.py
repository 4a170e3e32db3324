"""Accuracy, learning rate and each layer's rotation by epoch (S2.7; figures 6.4–6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cobaye.figures import _families, _layer_panels, _log_axis, _panels, _style

NAMES = {
    "rotation": {},
    "rotation-sgd": {"family": "sgd"},
    "rotation-wd": {"family": "wd"},
    "rotation-layca": {"family": "layca"},
}
TABLES = ("rotation", "history", "metrics", "runs")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True
SPLITS = ("val",)

_TRAIN = {"linestyle": (0, (4, 1.6)), "linewidth": 1.0}
_RATE = {"color": _style.INK, "linestyle": (0, (1.2, 1.2)), "linewidth": 1.1}


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row per network: accuracies and learning rate, and the cosine distances, by epoch.

    All networks of the study share their axes, those of other families included.
    """
    families = _families.families(tables["runs"], options.family)
    members = [member for family in families.values() for member in family]
    rows = max(len(members), 1)
    figure = _style.figure(0.6 + 1.15 * rows)
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey="col")
    if not members:
        for ax in axes.flat:
            _layer_panels.empty(ax)
        return figure
    colours = _colours(tables["rotation"])
    rates = [_training(ax, tables, member) for ax, member in zip(axes[:, 0], members, strict=True)]
    _limit_rates(rates, tables["history"]["learning_rate"])
    for ax, member in zip(axes[:, 1], members, strict=True):
        _layers(ax, member.rows(tables["rotation"]), colours)
    top = max(1.0, tables["rotation"]["cosine_distance"].max())
    axes[0, 1].set_ylim(0, 1.05 * top)
    axes[0, 0].set_ylim(0, 103)
    axes[0, 0].set_xlim(0, max(tables["runs"]["epochs"].max(), 1))
    axes[0, 0].xaxis.get_major_locator().set_params(integer=True)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    if len(colours):
        _bar(figure, axes, colours)
    handles = [
        Line2D([], [], label="train, while it learns", color=_style.GREY, **_TRAIN),
        Line2D([], [], label="val", color=_style.GREY, linewidth=1.6),
        Line2D([], [], label="learning rate", **_RATE),
    ]
    _panels.legend(figure, handles, loc="outside upper center", ncols=3)
    return figure


def _mean(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the mean over seeds by epoch, for epochs that all seeds have."""
    return table.pivot(index="epoch", columns="seed", values=column).dropna().mean(axis=1)


def _training(ax: Axes, tables: Mapping[str, pd.DataFrame], member: _families.Member) -> Axes:
    """Draw accuracies on one axis, the learning rate on another; return the latter."""
    history, metrics = (_finite(tables, name, member) for name in ("history", "metrics"))
    train = _mean(history, "accuracy") * 100
    val = _mean(metrics[metrics["split"] == "val"], "accuracy") * 100
    ax.plot(train.index, train, color=member.color, **_TRAIN)
    ax.plot(val.index, val, color=member.color, linewidth=1.6)
    ends = metrics[metrics["split"] == "val"].groupby("seed")["accuracy"].last()
    reached = f": {ends.mean() * 100:.1f} % on val" if len(ends) else ""
    ax.set_title(member.label + reached, loc="left")
    ax.set_ylabel("accuracy (%)")
    rates = ax.twinx()
    rate = _mean(history[history["epoch"] > 0], "learning_rate")
    # The rate of an epoch holds from the end of the one before.
    rates.stairs(rate, np.arange(len(rate) + 1), baseline=None, **_RATE)
    rates.spines["right"].set_visible(True)
    rates.set_ylabel("learning rate")
    return rates


def _finite(
    tables: Mapping[str, pd.DataFrame], name: str, member: _families.Member
) -> pd.DataFrame:
    """Return the rows of the seeds that stayed finite, or of all seeds if none did."""
    runs = member.rows(tables["runs"])
    finite = runs.loc[runs["finite"].astype(bool), "seed"]
    rows = member.rows(tables[name])
    return rows[rows["seed"].isin(finite)] if len(finite) else rows


def _limit_rates(axes: list[Axes], rates: pd.Series) -> None:
    """Give all axes of the learning rate the same limits, with powers of ten."""
    positive = rates[rates > 0]
    if positive.empty:
        return
    low, high = positive.min() / 1.5, positive.max() * 1.5
    for ax in axes:
        _log_axis.scale(ax, 1e4)
        ax.set_ylim(low, high)
        ax.minorticks_off()


def _colours(table: pd.DataFrame) -> dict[int, tuple[float, ...]]:
    """Return the colour of each layer: darker means nearer to the images."""
    layers = sorted(table["layer"].unique()) if len(table) else []
    shades = np.linspace(0, 0.9, max(len(layers), 2))
    return {layer: matplotlib.colormaps["viridis"](shades[i]) for i, layer in enumerate(layers)}


def _layers(ax: Axes, table: pd.DataFrame, colours: Mapping[int, tuple[float, ...]]) -> None:
    ax.set_ylabel("cosine distance")
    ax.axhline(1, color="#bbbbbb", linewidth=0.6, zorder=0)
    for layer, rows in table.groupby("layer"):
        distance = _mean(rows, "cosine_distance")
        ax.plot(distance.index, distance, color=colours[layer], linewidth=1.1)
    if table.empty:
        where = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, "diverged", fontsize=7, **where)


def _bar(figure: Figure, axes: np.ndarray, colours: Mapping[int, tuple[float, ...]]) -> None:
    layers = list(colours)
    edges = np.arange(len(layers) + 1) + 0.5
    palette = ScalarMappable(BoundaryNorm(edges, len(layers)), ListedColormap(colours.values()))
    shown = [row[1] for row in axes[:3]]
    bar = figure.colorbar(palette, ax=shown, fraction=0.035, pad=0.02, aspect=14 * len(shown))
    step = 2 if len(layers) > _layer_panels.MANY_LAYERS else 1
    bar.set_ticks(np.arange(1, len(layers) + 1, step), labels=layers[::step])
    bar.ax.invert_yaxis()
    bar.set_label("layer")
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(length=0)
    bar.ax.minorticks_off()
