"""Differences from one λ with their intervals, a row for each classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cobaye.figures import _panels, _style

_KNOWN, _UNKNOWN = "#0b62a4", _style.GREY
_THICK = {"linewidth": 3.0, "alpha": 0.55, "solid_capstyle": "butt"}
_THIN = {"linewidth": 0.8}
_ENDS = ("difference", "low", "high")


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rivals of one configuration that have a classifier, by test loss."""
    rivals = table[(table["rival"] != "one") & table["loss_difference"].notna()]
    return rivals.sort_values("loss", kind="stable")


def draw(ax: Axes, rivals: pd.DataFrame, measure: str, factor: float, better: int) -> None:
    """Draw the differences of one measure; what lies beyond the axis is written at its edge.

    rivals: as from `judged`. better: the sign of what is better, 1 or −1.
    """
    means, *images = (factor * rivals[f"{measure}_{end}"].to_numpy(float) for end in _ENDS)
    wide = [f"{measure}_classes_{end}" for end in _ENDS[1:]]
    classes = [factor * rivals[column].to_numpy(float) for column in wide if column in rivals]
    left, right = _limits(means, np.array([*images, *classes]), better)
    ax.axvline(0, zorder=0.5, **_panels.BEST_LINE)
    known = images[0] * images[1] > 0
    if measure == "loss":
        known = ~rivals["verdict"].str.startswith("not known").to_numpy()
    for place, mean in enumerate(means):
        colour = _KNOWN if known[place] else _UNKNOWN
        if not left <= mean <= right:
            _beyond(ax, place, mean, colour)
            continue
        for ends, look in ((classes, _THIN), (images, _THICK)):
            ax.plot([end[place] for end in ends], [place] * len(ends), color=colour, **look)
        ax.plot(mean, place, "o", color=colour, markersize=3)
    ax.set_xlim(left, right)


def _limits(means: np.ndarray, ends: np.ndarray, better: int) -> tuple[float, float]:
    """Return an axis of all ends (E, R) but those of rivals that lose far more than any gains.

    Such a rival would else leave no room to see the others.
    """
    if not np.isfinite(gains := ends * better).any():
        return -1.0, 1.0
    most = max(np.nanmax(gains), 0.0)
    near = means * better >= -1.5 * most if most else means < np.inf
    least = min(np.nanmin(gains[:, near], initial=0.0), 0.0)
    pad = 0.06 * (most - least) or 1.0
    left, right = sorted((better * (most + pad), better * (least - pad)))
    return left, right


def _beyond(ax: Axes, place: int, value: float, colour: str) -> None:
    """Write a value at the edge that it lies beyond."""
    text = f"{value:+.2g} →" if value > 0 else f"← {value:+.2g}"
    ax.annotate(
        text.replace("-", "−"),
        (float(value > 0), place),
        xycoords=("axes fraction", "data"),
        ha="right" if value > 0 else "left",
        va="center",
        fontsize=6.5,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        zorder=1,
    )


def handles(one: str) -> list[Line2D]:
    """Return the legend entries; one: what the line at 0 is."""
    line = {"color": _KNOWN, "marker": "", "linestyle": "-"}
    return [
        Line2D([], [], label="95 %, images", **line, **_THICK),
        Line2D([], [], label="95 %, classes", **line, **_THIN),
        Line2D([], [], label="not known to differ", color=_UNKNOWN, **_THICK),
        Line2D([], [], label=one, **_panels.BEST_LINE),
    ]
