"""A λ per class used with another backbone: its gains; beside them the shares of variance."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cobaye.figures import _lambda_axis, _panels, _style

NAMES = {"transfer": {}}
TABLES = ("transfer", "variance-shares")

_MOST_VALUES = 8  # units of a matrix with a number in each cell
# Of classes from dark to light, of all classes together and of images hatched: told apart in grey.
_CLASSES = ("#1a1a1a", "#2b6a99", "#9cc4e0")
_TOGETHER = ("#a8431c", "#e3a27c")
_IMAGES = (("#bdbdbd", "////"), ("#d9d9d9", "...."), ("#f2f2f2", ""))


@dataclass(frozen=True)
class Options:
    """How λ are chosen."""

    #: The way by which the λ of each class are chosen on val.
    choice: Literal["shrunk", "val"] = "shrunk"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row per model and optimizer: the matrix of gains left, shares of variance right."""
    table = tables["transfer"]
    table = table[table["choice"] == options.choice] if len(table) else table
    configurations = _panels.configurations(table)
    fig, axes = _panels.grid(len(configurations), 2, 2.5, legend=0.7)
    for row, configuration in zip(axes, configurations, strict=False):
        shares = _panels.of(tables["variance-shares"], configuration)
        unit = "backbone" if (shares["source"] == "backbone").any() else "seed"
        _matrix(row[0], _panels.of(table, configuration), unit)
        _panels.title(row[0], "gain on test (0.001 nats)", configuration, len(axes) > 1)
        _stacked(row[1], shares)
    if configurations:
        sources = tables["variance-shares"]["source"].drop_duplicates()
        looks = _looks(sources)
        handles = [Patch(label=name, **looks[name]) for name in sources]
        handles.append(Line2D([], [], label="best λ of all", **_panels.BEST_LINE))
        _panels.legend(fig, handles, loc="outside lower center", ncols=4)
    return fig


def matrix(table: pd.DataFrame) -> pd.DataFrame:
    """Return the gains of one configuration: chosen on (rows), judged on (columns)."""
    names = table["chosen_on"].drop_duplicates()
    return table.pivot(index="chosen_on", columns="judged_on", values="gain").loc[names, names]


def _matrix(ax: Axes, table: pd.DataFrame, unit: str) -> None:
    """Draw the gains of one configuration. unit: what rows and columns are."""
    gains = 1000 * matrix(table)
    reach = max(float(np.abs(gains.to_numpy()).max()), 1e-3)
    # The lightest is the largest gain, so a loss is dark in grey too.
    ax.imshow(gains, cmap="cividis", vmin=-reach, vmax=reach)
    if len(gains) <= _MOST_VALUES:
        for (row, column), value in np.ndenumerate(gains.to_numpy()):
            shown = f"{value:+.1f}".replace("-", "−")
            color = _style.INK if value > 0 else "white"
            ax.text(column, row, shown, ha="center", va="center", fontsize=7, color=color)
        for place in range(len(gains)):
            ax.plot(*_cell(place), color=_style.INK, linewidth=1.2)
    names = _short(list(gains.index))
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"judged with {unit}")
    ax.set_ylabel(f"λ per class chosen with {unit}")


def _cell(place: int) -> tuple[list[float], list[float]]:
    """Return the outline of a cell of the diagonal."""
    low, high = place - 0.47, place + 0.47
    return [low, high, high, low, low], [low, low, high, high, low]


def _short(names: Sequence[str]) -> list[str]:
    """Return names without the words that all begin with; of a name of no others, the last."""
    words = [_style.class_name(name, number).split("-") for number, name in enumerate(names)]
    alike = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))
    common = len(list(alike))
    return ["-".join(each[common:]) or each[-1] for each in words]


def _stacked(ax: Axes, shares: pd.DataFrame) -> None:
    """Draw the shares of each λ as a stack of bars; the reference has none."""
    axis = _lambda_axis.LambdaAxis(tuple(_lambda_axis.order(shares["weight_decay"])))
    table = shares.pivot(index="weight_decay", columns="source", values="share")
    table = 100 * table.loc[list(axis.labels), shares["source"].drop_duplicates()].fillna(0)
    places, looks = axis.positions(), _looks(table.columns)
    width = 0.7 * min(np.diff(places), default=1.0)
    below = np.zeros(len(table))
    for name in table.columns:
        ax.bar(places, table[name], width, bottom=below, **looks[name])
        below = below + table[name].to_numpy()
    ax.set_ylim(0, 100)
    ax.set_ylabel("share of the variance\nof the effect of λ (%)")
    axis.dress(ax)
    ax.set_xlim(places[0] - 0.75 * width, places[-1] + 0.75 * width)
    _panels.mark_best(ax, axis.place(shares["reference"].iloc[0]))


def _looks(sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the look of each source."""
    looks: dict[str, dict[str, Any]] = {}
    shades = {"class": iter(_CLASSES), "image": iter(_IMAGES), "": iter(_TOGETHER)}
    for name in sources:
        first = name.split(" × ")[0]
        kind = first if first in shades else ""
        shade = next(shades[kind])
        looks[name] = {"edgecolor": "white", "linewidth": 0.4}
        if kind == "image":
            looks[name] |= {"facecolor": shade[0], "hatch": shade[1], "edgecolor": "#6a6a6a"}
        else:
            looks[name] |= {"facecolor": shade, "hatch": "" if kind else 4 * "\\"}
    return looks
