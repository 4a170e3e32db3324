"""The answer of a study in one picture: how classes differ, beside noise, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cobaye.figures import (
    _forest,
    _lambda_axis,
    _null_counts,
    _own_gains,
    _own_lambda,
    _panels,
    _style,
)
from cobaye.figures._lambda_axis import LambdaAxis, axis_of, order
from cobaye.recipes.axes import Axis
from cobaye.tables import grid_ends, rival_names

NAMES = {"answer": {}}
TABLES = ("shrunk-curves", "class-gains", "class-tests", "null-best-lambda", "compromise")
OPTIONAL_TABLES = ("rivals",)
# Rivals are beside one λ.
OVER = {
    "epoch": {"OPTIONAL_TABLES": ()},
    "learning_rate": {"OPTIONAL_TABLES": ()},
    "augmentation": {"OPTIONAL_TABLES": ()},
}

_BAR = "#b9c4cf"


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw three panels per configuration, over the axis of the tables."""
    configurations = _panels.configurations(tables["class-tests"])
    if not configurations:
        return _panels.grid(0)[0]
    over = axis_of(tables["shrunk-curves"])
    parts = [
        {name: _panels.of(table, configuration) for name, table in tables.items()}
        for configuration in configurations
    ]
    fig, axes = _grid([len(_rivals(of)) for of in parts])
    groups = np.zeros(len(_own_lambda.GROUPS), int)
    for row, configuration, of in zip(axes, configurations, parts, strict=True):
        test = of["class-tests"].iloc[0]
        axis = LambdaAxis(tuple(order(of["shrunk-curves"][over.name])), over.title)
        groups += _curves(row[0], axis, over, of, test)
        _minima(row[1], axis, over, of["null-best-lambda"], test)
        own = of["class-gains"]["shrunk"].tolist()
        _lambda_axis.note_ends(row[1], grid_ends.ends(test["best"], own, axis.labels), over)
        _use(row[2], over, of)
        row[0].annotate(
            f"{configuration.model} · {configuration.optimizer}{_at(test)}",
            (0, 1),
            (-28, 22),
            xycoords="axes fraction",
            textcoords="offset points",
            fontweight="bold",
        )
    # The names of other axes than λ are longer.
    look = {"ncols": 4 if over.one == "λ" else 3, "handlelength": 2}
    fig.legend(handles=_handles(groups, over.one), loc="outside lower center", **look)
    return fig


def _at(test: pd.Series) -> str:
    """Return the λ of all runs, where the axis is another."""
    return f" · λ = {test['at']}" if "at" in test else ""


def _grid(rivals: Sequence[int]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and the axes of each configuration: two side by side, one below."""
    heights = [height for count in rivals for height in (2.2, 0.55 + 0.15 * max(count, 2))]
    fig = _style.figure(sum(heights) + 0.2 * len(rivals) + 0.5)
    parts = fig.subfigures(len(heights), height_ratios=heights)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return fig, [[*above.subplots(1, 2), below.subplots()] for above, below in pairs]


def _rivals(of: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of panel c, from the lowest loss up."""
    rows = _own_gains.rows(of["compromise"])
    if "rivals" in of:
        trained = _forest.judged(of["rivals"])
        rows = pd.concat([trained, rows[~rows["way"].isin(trained["rival"])]])
    return rows.sort_values("loss_difference", kind="stable")


def _curves(
    ax: Axes, axis: LambdaAxis, over: Axis, of: Mapping[str, pd.DataFrame], test: pd.Series
) -> np.ndarray:
    """Draw each class's difference from the best λ on test, coloured by its own λ, from val.

    Return the number of classes of each group.
    """
    curves = of["shrunk-curves"].query("split == 'test'")
    seen = curves.pivot(index="class", columns=over.name, values="seen")[list(axis.labels)]
    seen = seen.dropna()
    own = of["class-gains"].set_index("class")["shrunk"].loc[seen.index].astype(float)
    side = _own_lambda.sides(own.to_numpy(), float(test["best"]))
    ax.axhline(0, color=_style.INK, linewidth=0.6, zorder=1)
    _panels.mark_best(ax, axis.place(test["best"]))
    means = _own_lambda.lines(ax, axis.positions(), seen.to_numpy(), side)
    ax.set_ylim(*_limits(seen.to_numpy(), means))
    ax.set_ylabel("change of test loss (nats)")
    unequal = test["p_between"] <= 1 - test["level"]
    said = f"{over.one} acts unequally on classes" if unequal else "no unequal effect is known"
    ax.set_title(f"a   {said}", loc="left")
    axis.dress(ax)
    return np.bincount(side.astype(int), minlength=len(_own_lambda.GROUPS))


def _limits(seen: np.ndarray, means: np.ndarray) -> tuple[float, float]:
    """Return an axis for the means and most classes; a few that λ changes most leave it."""
    low = min(np.quantile(seen.min(axis=1), 0.02), means.min())
    high = max(np.quantile(seen.max(axis=1), 0.9), 0.0)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _minima(ax: Axes, axis: LambdaAxis, over: Axis, null: pd.DataFrame, test: pd.Series) -> None:
    """Draw how many classes have their lowest test loss at each λ, observed and by noise alone."""
    rows = null[null["split"] == "test"].set_index(over.name).loc[list(axis.labels)]
    places = np.arange(len(rows))
    ax.bar(places, rows["observed"], 0.74, color=_BAR, zorder=1)
    _null_counts.draw(ax, rows)
    turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(rows) > 5 else {}
    ax.set_xticks(places, axis.labels, fontsize=6.5, **turn)
    ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel(over.title)
    classes = int(rows["classes"].iloc[0])
    ax.set_ylabel(f"classes (of {classes})")
    at_best = rows.loc[test["best"]]
    said = "own λ differ by more than noise"
    if over.one != "λ":
        said = f"own {over.many}: beyond image noise"  # a training's swings are none
    if not at_best["observed"] < at_best["shape_low"]:
        said = f"own {over.many}: no more than noise"
        if at_best["observed"] < at_best["low"]:
            said = f"own {over.many}: noise and amplitude"
    ax.set_title(f"b   {said}", loc="left")


def _use(ax: Axes, over: Axis, of: Mapping[str, pd.DataFrame]) -> None:
    """Draw the change of test loss of each rival, and of a λ per class read off the curves."""
    rows = _rivals(of)
    _forest.draw(ax, rows, "loss", 1, -1)
    places = np.arange(len(rows))
    names = [rival_names.NAMES.get(name, name).replace("λ", over.one) for name in rows["rival"]]
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("change of test loss (nats)")
    ax.set_title(f"c   beside one {over.one}", loc="left")


def _handles(groups: np.ndarray, one: str) -> list[Line2D | Patch]:
    return [
        *_own_lambda.handles(groups, named=False, one=one),
        _panels.best_handle(one),
        Patch(color=_BAR, label="observed"),
        *_null_counts.handles(),
    ]
