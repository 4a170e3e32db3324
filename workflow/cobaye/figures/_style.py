"""The house style: one set of rcParams, the look of each λ, and text that cannot do harm."""

from __future__ import annotations

import contextlib
import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.recipes.study import FIGURE_WIDTH

# Both ship inside matplotlib, so a figure does not depend on the fonts of the machine.
_FONTS = {"DejaVu Sans": "DejaVuSans.ttf", "STIXGeneral": "STIXGeneral.ttf"}

_RC = {
    "font.family": list(_FONTS),
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3.0,
    "legend.labelspacing": 0.35,
    "legend.title_fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.titlepad": 7,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.1,
    "lines.dash_capstyle": "butt",
    # A name out of a dataset is never mathematics: `$` is a dollar sign.
    "text.parse_math": False,
    # Outlines: class names in any script look the same in every viewer, with or without the font.
    "svg.fonttype": "path",
    "svg.hashsalt": "cobaye",
    "pdf.fonttype": 42,
    "savefig.dpi": 220,
}

INK = "#1a1a1a"
ACCENT = "#b5311f"
GREY = "#8a8a8a"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """Return 10ⁿ in plain text, since mathtext is off."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


@contextlib.contextmanager
def house(width: float = FIGURE_WIDTH) -> Iterator[None]:
    """Draw in the house style, whatever matplotlibrc the user has. width: of figures, inches."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        matplotlib.rcParams["figure.figsize"] = (width, 1.0)
        yield


def figure(height: float) -> Figure:
    """Return an empty figure of the house's width. height: inches."""
    made = Figure(figsize=(matplotlib.rcParams["figure.figsize"][0], height), layout="constrained")
    made.get_layout_engine().set(w_pad=0.04, h_pad=0.05, wspace=0.03, hspace=0.03)
    return made


def lay_out(figure: Figure) -> None:
    """Compute the layout once, for all formats."""
    figure.align_ylabels()
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        if any(map(_moves_again, figure.axes)):
            engine.execute(figure)
    figure.set_layout_engine(None)  # not "none", with which every save draws twice


def _moves_again(ax: Axes) -> bool:
    """Tell whether a panel keeps its shape, or has what stands by a share of its size beside it."""
    beside = ax.get_yaxis_transform()
    placed = any(each.get_transform() == beside and each.get_position()[0] > 1 for each in ax.texts)
    return placed or bool(ax.child_axes) or ax.get_aspect() != "auto"


def look(index: int, count: int) -> dict[str, Any]:
    """Return colour and dashes of the ``index``-th of ``count`` λ, the smallest first.

    Dark to light tells the order, also in grey; neighbours differ in dashes as well.
    """
    shade = 0.8 * index / max(count - 1, 1)
    return {
        "color": matplotlib.colormaps["plasma"](shade) if index else INK,
        "linestyle": DASHES[index % len(DASHES)],
    }


# They differ in lightness by 11 of 100 or more, so in grey too, and for colour-blind readers.
COLOURS = (INK, "#12408f", "#a63a12", "#1c8f6b", "#c987c9", "#e8b93c")


def category(colour: int, dashes: int) -> dict[str, Any]:
    """Return colour, dashes and width of a curve, keyed to the numbers of two properties.

    The seventh colour is the first again, in wider lines.
    """
    return {
        "color": COLOURS[colour % len(COLOURS)],
        "linestyle": DASHES[dashes % len(DASHES)],
        "linewidth": 1.1 if colour < len(COLOURS) else 2.0,
    }


def class_name(name: object, number: int, limit: int = 32) -> str:
    """Return a class name fit to print: one line, no control characters, at most ``limit`` long.

    A name that is empty, or that needs a letter which no font here has, becomes ``#<number>``.
    """
    spaced = "".join(" " if char.isspace() else char for char in str(name))
    visible = "".join(char for char in spaced if unicodedata.category(char)[0] != "C")
    text = " ".join(visible.split())
    if not text or any(ord(char) not in _drawable() for char in text):
        return f"#{number}"
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


@functools.cache
def _drawable() -> frozenset[int]:
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fonts = (font_manager.get_font(str(folder / file)) for file in _FONTS.values())
    return frozenset(code for font in fonts for code in font.get_charmap())
