"""The axis of λ, and the order of λ labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from cobaye.figures import _style

AXIS_TITLE = "weight decay λ"
_MOST_TICKS = 7


def order(labels: Iterable[object]) -> list[str]:
    """Return the distinct λ labels from the smallest λ up; names of derived runs are left out."""
    distinct = {str(label) for label in labels}
    return sorted((label for label in distinct if _is_number(label)), key=float)


def same(label: str, other: str | None) -> bool:
    """Return whether two labels are one λ."""
    return other is not None and float(label) == float(other)


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


@dataclass(frozen=True)
class LambdaAxis:
    """A logarithmic axis of λ on which 0 has a place of its own, left of an axis break."""

    labels: tuple[str, ...]

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

    def dress(self, ax: Axes, most: int = _MOST_TICKS) -> None:
        """Give ``ax`` ticks (decades, and 0), small ticks at every λ, the break and the title.

        most: how many ticks have room for their names.
        """
        places, exponents = self.positions(), self._exponents
        if not len(places):
            return
        decades = [e for e in range(-400, 400) if exponents and exponents[0] <= e <= exponents[-1]]
        decades = decades[:: math.ceil(len(decades) / most) or 1]
        ticks = {float(e): _style.power_of_ten(e) for e in decades}
        if len(ticks) < 2:
            named = slice(None, None, math.ceil(len(places) / most))
            ticks = dict(zip(places.tolist()[named], self.labels[named], strict=True))
        elif len(places) > len(exponents):
            ticks[float(places[0])] = "0"
            _mark_break(ax, (places[0] + places[1]) / 2)
        pad = max(0.04 * (places[-1] - places[0]), 0.2)
        ax.set_xlim(places[0] - pad, places[-1] + pad)
        ax.set_xticks(sorted(ticks), [ticks[place] for place in sorted(ticks)])
        small = sorted(set(places.tolist()) - set(ticks))
        ax.xaxis.set_minor_locator(FixedLocator(small) if small else NullLocator())
        ax.set_xlabel(AXIS_TITLE)


def _mark_break(ax: Axes, place: float) -> None:
    """Interrupt the axis line at ``place``: //."""
    common = {"transform": ax.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
    ax.plot([place], [0], marker="s", markersize=4, color="white", zorder=5, **common)
    for shift in (-2.2, 2.2):
        slash = [(shift - 1, -2.2), (shift + 1, 2.2)]
        style = {"marker": slash, "markersize": 7, "color": _style.INK, "markeredgewidth": 0.7}
        ax.plot([place], [0], zorder=6, **style, **common)
