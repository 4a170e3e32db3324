"""The confusion matrix on test, at the best λ or at one of choice: two windows (S0, fig. 5.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from cobaye.figures import _panels, _style

NAMES = {
    "confusion": {"first": 0, "last": 100},
    "confusion-zoom": {"first": 25, "last": 75},
}
TABLES = ("confusion", "classes", "best-lambda")
SPLITS = ("test",)

_CLASSES = 101  # the window of the whole figure in S0: where there are fewer, windows shrink alike
_FEW = 50  # with fewer, all are shown
_MOST_NUMBERS = 12
_COLUMNS = 3
_LONGEST = 20  # letters of a name above one of several matrices
_MATRIX = 3.9  # width in inches, about
_SIZE, _LINE = 6, 7.5  # of a class's name or a number, in points
_TICKS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Options:
    """Which labels, and how they are named."""

    #: First label that is shown.
    first: int = 0
    #: Last label that is shown.
    last: int = 100
    #: Names of classes on the axes.
    class_names: bool = True
    #: λ of the runs that are shown, as `weight_decays` writes it. `""`: the best of each
    #: configuration.
    weight_decay: str = ""
    #: Number of matrices, at most. Of more configurations, those of the lowest loss on val are
    #: shown.
    best: int = 9

    def __post_init__(self):
        if not 0 <= self.first < self.last:
            raise ValueError(f"first and last: {self.first} to {self.last} is no window of labels")
        if not 1 <= self.best <= 30:
            raise ValueError(f"best: {self.best} is not in 1 to 30")


def window(first: int, last: int, count: int) -> range:
    """Return the classes to show; of fewer than 50 all are shown.

    A window that ends past the ``count`` classes is scaled down.
    """
    if count < _FEW:
        return range(count)
    if last >= count:
        first, last = first * count // _CLASSES, min(last * count // _CLASSES, count - 1)
    if first > 0 and last - first < 2:
        first, last = 0, count - 1
    return range(max(first, 0), last + 1)


def rates(confusion: pd.DataFrame, shown: range) -> np.ndarray:
    """Return, for each true class shown (row), the share of its images per predicted class.

    Shares are of all images of the class, also of those predicted outside the window; a class
    without images is a row of NaN.
    """
    label, predicted = confusion["label"].to_numpy(int), confusion["predicted"].to_numpy(int)
    number = confusion["n"].to_numpy(float)
    matrix, totals = np.zeros((len(shown), len(shown))), np.zeros(len(shown))
    row, column = label - shown.start, predicted - shown.start
    in_row = (row >= 0) & (row < len(shown))
    np.add.at(totals, row[in_row], number[in_row])
    inside = in_row & (column >= 0) & (column < len(shown))
    np.add.at(matrix, (row[inside], column[inside]), number[inside])
    totals[totals == 0] = np.nan
    return matrix / totals[:, None]


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw one matrix per configuration, all with one scale of grey."""
    confusion = at(tables, options.weight_decay)
    every = _panels.configurations(confusion)
    configurations = best_of(every, tables["best-lambda"], options.best)
    names = tables["classes"].drop_duplicates("class").set_index("class")["name"].to_dict()
    shown = window(options.first, options.last, 1 + max(names, default=0))
    columns = min(len(configurations), _COLUMNS) or 1
    lines = -(-len(configurations) // columns)
    fig, axes = _panels.grid(lines, columns, _MATRIX / columns + 0.7, legend=0.2)
    for ax in axes.flat[len(configurations) :]:
        ax.set_axis_off()
    for ax, configuration in zip(axes.flat, configurations, strict=False):
        counts = _panels.of(confusion, configuration)
        matrix = rates(counts, shown)
        image = ax.imshow(
            matrix,
            cmap="Greys",
            norm=PowerNorm(0.5, 0, 1),
            extent=(shown[0] - 0.5, shown[-1] + 0.5, shown[-1] + 0.5, shown[0] - 0.5),
            interpolation="nearest",
        )
        if len(shown) <= _MOST_NUMBERS:
            _numbers(ax, matrix, shown, columns)
        _ticks(ax, shown, names if options.class_names else {}, columns)
        ax.set(xlabel="predicted class", ylabel="true class")
        said = [f"λ = {options.weight_decay}"] * bool(options.weight_decay)
        if columns == 1:
            said.append(_said(counts, shown, names))
            _panels.title(ax, "; ".join(said))
        else:
            named = [_style.class_name(name, 0, limit=_LONGEST) for name in configuration]
            ax.set_title("\n".join([*named, *said]), loc="left", fontsize=7, fontweight="bold")
    if len(every) > len(configurations):
        kept = f"the {len(configurations)} of lowest loss on val, of {len(every)} configurations"
        fig.suptitle(kept, x=0.01, ha="left", fontsize=8)
    if configurations:
        bar = fig.colorbar(image, ax=axes, shrink=0.6, ticks=_TICKS, format="{x:g}")
        bar.set_label("share of the true class (square-root scale)")
    return fig


def at(tables: Mapping[str, pd.DataFrame], weight_decay: str) -> pd.DataFrame:
    """Return the counts at a λ; where it is "", at the best λ of each configuration."""
    confusion = tables["confusion"]
    if weight_decay:
        return confusion[confusion["weight_decay"] == weight_decay]
    keys = ["model", "optimizer", "weight_decay"]
    return confusion.merge(tables["best-lambda"][keys], on=keys)


def best_of(
    every: Sequence[_panels.Configuration], best: pd.DataFrame, count: int
) -> list[_panels.Configuration]:
    """Return the `count` configurations of lowest loss on val at their best λ, in their order."""
    rising = _panels.configurations(best.sort_values("val_loss", kind="stable"))
    kept = [one for one in rising if one in every][:count]
    return [one for one in every if one in kept]


def _said(counts: pd.DataFrame, shown: range, names: Mapping[int, object]) -> str:
    """Return the most frequent confusion of two of the classes shown, in words."""
    wrong = counts[counts["label"] != counts["predicted"]]
    wrong = wrong[wrong["label"].isin(shown) & wrong["predicted"].isin(shown)]
    if wrong.empty:
        return "no image is taken for another class shown"
    most = wrong.loc[wrong["n"].idxmax()]
    of = counts.loc[counts["label"] == most["label"], "n"].sum()
    true, taken = (
        _style.class_name(names.get(most[key], ""), most[key], limit=18)
        for key in ("label", "predicted")
    )
    return f"most frequent: {most['n']} of {of} images of “{true}” are taken for “{taken}”"


def _numbers(ax: Axes, matrix: np.ndarray, shown: Sequence[int], columns: int) -> None:
    """Write the shares in %, where they are not 0 and no wider than their cell."""
    for (row, column), share in np.ndenumerate(matrix):
        text = f"{100 * share:.0f}"
        if np.isfinite(share) and text != "0" and _wide(text) <= _room(shown, columns):
            ink = "white" if share > 0.3 else _style.INK
            middle = {"ha": "center", "va": "center", "fontsize": _SIZE, "color": ink}
            ax.text(shown[column], shown[row], text, **middle)


def _room(shown: Sequence[int], columns: int) -> float:
    """Return the width of a cell, in points."""
    return 72 * _MATRIX / columns / len(shown)


def _wide(text: str) -> float:
    """Return the width of a name or number on a matrix, in points, about."""
    return 0.65 * _SIZE * len(text)


def _ticks(ax: Axes, shown: Sequence[int], names: Mapping[int, object], columns: int) -> None:
    """Name as many of the classes as there is room for, or number them."""
    ax.spines[:].set_visible(True)
    room = _room(shown, columns)
    every = shown[:: math.ceil(_LINE / room)]
    texts = [
        _style.class_name(names[one], one, limit=18) if one in names else str(one) for one in every
    ]
    turn = 0 if max(map(_wide, texts)) <= room * len(shown) / len(every) else 90
    ax.set_xticks(every, texts, fontsize=_SIZE, rotation=turn)
    ax.set_yticks(every, texts, fontsize=_SIZE)
    ax.tick_params(length=1.5, pad=2)
