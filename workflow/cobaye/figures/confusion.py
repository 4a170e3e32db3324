"""The confusion matrix at the best λ, on test: two windows (S0, fig. 5.3)."""

from __future__ import annotations

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
_MOST_NAMES = 60
_MATRIX = 4.6  # width in inches, about
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

    def __post_init__(self):
        if not 0 <= self.first < self.last:
            raise ValueError(f"first and last: {self.first} to {self.last} is no window of labels")


def window(first: int, last: int, count: int) -> range:
    """Return the classes to show; a window that ends past the ``count`` classes is scaled down."""
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
    """Draw one matrix per row of panels, all with one scale of grey."""
    confusion = tables["confusion"]
    configurations = _panels.configurations(confusion)
    names = tables["classes"].drop_duplicates("class").set_index("class")["name"].to_dict()
    shown = window(options.first, options.last, 1 + max(names, default=0))
    fig, axes = _panels.grid(len(configurations), size=(6.6, 5.8))
    for ax, configuration in zip(axes[:, 0], configurations, strict=False):
        _panels.title(ax, configuration, _panels.best(tables, configuration))
        image = ax.imshow(
            rates(_panels.of(confusion, configuration), shown),
            cmap="Greys",
            norm=PowerNorm(0.5, 0, 1),
            extent=(shown[0] - 0.5, shown[-1] + 0.5, shown[-1] + 0.5, shown[0] - 0.5),
            interpolation="nearest",
        )
        bar = fig.colorbar(image, ax=ax, shrink=0.6, ticks=_TICKS, format="{x:g}")
        bar.set_label("share of the true class (square-root scale)")
        _ticks(ax, shown, names if options.class_names else {})
        ax.set(xlabel="predicted class", ylabel="true class")
    return fig


def _ticks(ax: Axes, shown: Sequence[int], names: Mapping[int, object]) -> None:
    """Name the classes where there is room for it, else number some of them."""
    ax.spines[:].set_visible(True)
    if len(shown) > _MOST_NAMES or not names:
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.yaxis.get_major_locator().set_params(integer=True)
        return
    texts = [_style.class_name(names.get(one, ""), one, limit=18) for one in shown]
    size = 7 if len(shown) <= 26 else 5
    room = 72 * _MATRIX / len(shown)
    turn = 0 if max(map(len, texts)) * 0.65 * size <= room else 90
    ax.set_xticks(shown, texts, fontsize=size, rotation=turn)
    ax.set_yticks(shown, texts, fontsize=size)
    ax.tick_params(length=1.5, pad=2)
