"""The fonts that ship inside matplotlib: DejaVu and STIX, as plain TrueType files."""

from __future__ import annotations

import functools
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

FACES = (
    *("DejaVuSans" + style for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *("DejaVuSansMono" + style for style in ("", "-Bold", "-BoldOblique", "-Oblique")),
    *("DejaVuSerif" + style for style in ("", "-Bold", "-BoldItalic", "-Italic")),
    *("STIXGeneral" + style for style in ("", "Bol", "BolIta", "Italic")),
)


def file_of(face: str) -> Path:
    return Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")


@functools.cache
def characters(face: str) -> frozenset[int]:
    """Return the code points that a face has a drawing of."""
    return frozenset(
        code for code, glyph in FT2Font(str(file_of(face))).get_charmap().items() if glyph
    )


@functools.cache
def font(face: str, em: int) -> ImageFont.FreeTypeFont:
    # The basic layout needs no library that a machine may lack.
    return ImageFont.truetype(file_of(face), em, layout_engine=ImageFont.Layout.BASIC)
