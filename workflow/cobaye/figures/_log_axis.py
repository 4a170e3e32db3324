"""A logarithmic y axis whose ticks are named."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cobaye.figures import _style


def scale(ax: Axes, ratio: float) -> None:
    """Make y logarithmic, with labels at 1, 2, 5 and more, where there are few powers of ten."""
    ax.set_yscale("log")
    ticks(ax, ratio)


def ticks(ax: Axes, ratio: float | None = None) -> None:
    """Name the ticks of a logarithmic y axis; ratio: of its limits, else of what is drawn."""
    if ratio is None:
        low, high = ax.get_ylim()
        ratio = high / low
    ax.yaxis.set_major_locator(LogLocator(subs=_ticked(ratio)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _log_tick(value, *ax.get_ylim())))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _ticked(ratio: float) -> tuple[float, ...]:
    """Return the digits that have a tick in each power of ten of an axis from 1 to a ratio."""
    if ratio > 1000:
        return (1,)
    if ratio > 10:
        return (1, 2, 5)
    return (1, 2, 3, 4, 5, 7) if ratio > 3 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


def _log_tick(value: float, low: float, high: float) -> str:
    """Return the name of a tick: one notation for all of an axis from low to high."""
    if low > 9e-5 and high < 9e4:
        return f"{value:g}"
    mantissa, exponent = f"{value:.1e}".replace(".0e", "e").split("e")
    power = _style.power_of_ten(int(exponent))
    return power if mantissa == "1" else f"{mantissa}·{power}"
