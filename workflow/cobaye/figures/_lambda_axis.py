"""The axis of λ or of what else runs are compared over, and the order of its labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from cobaye.figures import _style
from cobaye.recipes import axes
from cobaye.recipes.axes import Axis
from cobaye.tables import grid_ends

LAMBDA = axes.AXES[axes.DEFAULT]
AXIS_TITLE = LAMBDA.title
# Inches: of a character of a tick's name, and beside each panel for the y axis.
_CHARACTER, _MARGIN = 0.06, 0.7


def axis_of(table: pd.DataFrame) -> Axis:
    """Return the axis that a table of an analysis is over, by its column."""
    return next(axis for name, axis in axes.AXES.items() if name in table)


def order(labels: Iterable[object]) -> list[str]:
    """Return the distinct λ labels from the smallest λ up; names of derived runs are left out."""
    distinct = {str(label) for label in labels}
    return sorted((label for label in distinct if _is_number(label)), key=float)


def same(label: str, other: str | None) -> bool:
    """Return whether two labels are one λ."""
    return other is not None and float(label) == float(other)


def note_ends(ax: Axes, found: Sequence[grid_ends.End], axis: Axis = LAMBDA) -> None:
    """Say below an axis where the best λ end the grid, or the best values of another axis."""
    found = [end for end in found if float(end.label) > axis.least]
    if said := grid_ends.beside_axis(found, axis.one):
        ax.set_xlabel(f"{axis.title}\n{said}")


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


@dataclass(frozen=True)
class LambdaAxis:
    """A logarithmic axis of λ on which 0 has a place of its own, left of an axis break.

    title: of the axis, which may be of something else.
    """

    labels: tuple[str, ...]
    title: str = AXIS_TITLE

    @property
    def _exponents(self) -> list[float]:
        return [math.log10(float(label)) for label in self.labels if float(label) > 0]

    def positions(self) -> np.ndarray:
        """Return the place of each label, in decades."""
        exponents = self._exponents
        if len(exponents) == len(self.labels):
            return np.array(exponents)
        if not exponents:
            return np.zeros(len(self.labels))
        gap = max(0.12 * (exponents[-1] - exponents[0]), 0.5)
        return np.array([exponents[0] - gap, *exponents])

    def place(self, label: str | None) -> float | None:
        """Return the place of one label, or None if it is not on this axis."""
        matches = [same(other, label) for other in self.labels]
        return float(self.positions()[matches.index(True)]) if any(matches) else None

    def dress(self, ax: Axes, beside: float = 0.0) -> None:
        """Give ``ax`` ticks, small ticks at every λ, the break and the title.

        A tick is named as the config writes its λ: decades, where there are two or more, else all,
        as far as there is room. beside: the width of a legend right of the panels, in inches.
        """
        places = self.positions()
        if not len(places):
            return
        pad = max(0.04 * (places[-1] - places[0]), 0.2)
        ax.set_xlim(places[0] - pad, places[-1] + pad)
        columns = ax.get_subplotspec().get_gridspec().ncols
        inches = max((ax.get_figure(root=True).get_figwidth() - beside) / columns - _MARGIN, 0.7)
        named = self._named((places[-1] - places[0] + 2 * pad) / inches)
        ax.set_xticks(places[named], [self.labels[place] for place in named])
        if places[named[0]] < places[-1] and float(self.labels[0]) == 0:
            mark_break(ax, (places[0] + places[1]) / 2)
        small = np.delete(places, named)
        ax.xaxis.set_minor_locator(FixedLocator(small) if len(small) else NullLocator())
        ax.set_xlabel(self.title)

    def _named(self, per_inch: float) -> list[int]:
        """Return which λ have room for a name; per_inch: the length of an inch on the axis."""
        zero = [0] if float(self.labels[0]) == 0 else []
        rest = range(len(zero), len(self.labels))
        decades = [place for place in rest if math.log10(float(self.labels[place])).is_integer()]
        candidates = (decades if len(decades) > 1 else list(rest))[::-1]
        places, apart = self.positions(), [_CHARACTER * len(label) for label in self.labels]
        for step in range(1, len(candidates) + 1):
            chosen = zero + candidates[::step][::-1]
            if zero and len(chosen) > 2 and not _apart(places, apart, chosen[:2], per_inch):
                chosen.pop(1)
            if _apart(places, apart, chosen, per_inch):
                return chosen
        return chosen if candidates else zero


def _apart(places: np.ndarray, widths: list[float], chosen: list[int], per_inch: float) -> bool:
    """Return whether names of some widths in inches do not touch, each centred at its place."""
    gaps = np.diff(places[chosen]) / per_inch
    return all(
        gap >= (widths[one] + widths[other]) / 2 + _CHARACTER
        for gap, (one, other) in zip(gaps, itertools.pairwise(chosen), strict=True)
    )


def mark_break(ax: Axes, place: float, which: str = "x") -> None:
    """Interrupt the line of the x or y axis at ``place``: //."""
    transform = ax.get_xaxis_transform() if which == "x" else ax.get_yaxis_transform()
    common = {"transform": transform, "clip_on": False, "linestyle": "none"}
    point = ([place], [0]) if which == "x" else ([0], [place])
    ax.plot(*point, marker="s", markersize=4, color="white", zorder=5, **common)
    for shift in (-2.2, 2.2):
        slash = [(shift - 1, -2.2), (shift + 1, 2.2)]
        if which == "y":
            slash = [end[::-1] for end in slash]
        style = {"marker": slash, "markersize": 7, "color": _style.INK, "markeredgewidth": 0.7}
        ax.plot(*point, zorder=6, **style, **common)
