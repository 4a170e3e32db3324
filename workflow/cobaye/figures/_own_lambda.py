"""Where a class's own λ lies beside the best overall: names, colours and dashes of three groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

# Name, colour, dashes of the mean.
GROUPS: tuple[tuple[str, str, Any], ...] = (
    ("below", "#e07b1a", (0, (4, 1.2))),
    ("at", "#767676", "-"),
    ("above", "#0b3c6f", (0, (1.2, 1))),
)
# Thousands of outlines make an SVG of megabytes, and show no more than a picture does.
_MOST_OUTLINES = 500
_WIDTH = 2.0


def sides(own: np.ndarray, best: float) -> np.ndarray:
    """Return the number of each class's group. own: the classes' λ; best: that of all."""
    return np.sign(own - best) + 1


def lines(ax: Axes, places: np.ndarray, rows: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Draw a thin line per class (C, λ) and a thick one per group; return the means (G, λ)."""
    means = []
    for number, (_, colour, dashes) in enumerate(GROUPS):
        group = rows[side == number]
        # The more lines, the fainter each, so that they still show where most are.
        look = {"color": colour, "linewidth": 0.4, "alpha": min(max(60 / len(rows), 0.12), 0.6)}
        each = [np.column_stack([places, row]) for row in group]
        ax.add_collection(LineCollection(each, rasterized=len(rows) > _MOST_OUTLINES, **look))
        if len(group):
            means.append(group.mean(axis=0))
            ax.plot(places, means[-1], color=colour, linestyle=dashes, linewidth=_WIDTH, zorder=3)
    return np.array(means)


def handles(counts: Sequence[int], *, named: bool = True, one: str = "λ") -> list[Line2D]:
    """Return the legend entries of the means. counts: classes of each group, in its name if named.

    A group of no class has no entry. one: what is a class's own, where it is not λ.
    """
    return [
        Line2D(
            [],
            [],
            label=f"own {one} {name} the best" + (f": {counts[number]}" if named else ""),
            color=colour,
            linestyle=dashes,
            linewidth=_WIDTH,
        )
        for number, (name, colour, dashes) in enumerate(GROUPS)
        if counts[number]
    ]
