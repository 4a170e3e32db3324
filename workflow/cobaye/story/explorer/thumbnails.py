"""Small images of each class, side by side in one strip per class, within a number of bytes."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cobaye.data.typical_images import typical

# Images of a class and pixels of their side: the first of these that fits.
SIZES = ((6, 48), (6, 32), (6, 24), (4, 24), (2, 24), (2, 16))
_EACH = 3  # typical images of a class, and as many of the highest loss
_QUALITY = 55
_SAMPLE = 40  # classes by which the bytes of all are foretold

Pictures = list[list[Image.Image]]


@dataclass(frozen=True)
class Shown:
    """Images of each class: rows of the test split, and the class that each is taken for."""

    rows: list[list[int]]
    predicted: list[list[int]]


def chosen(labels: np.ndarray, predicted: np.ndarray, losses: np.ndarray, classes: int) -> Shown:
    """Return typical images and those of the highest loss, in turn. Arguments: (N,), in order."""
    shown = Shown([], [])
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(classes + 1))
    for first, end in itertools.pairwise(starts):
        rows = order[first:end]
        common = typical(losses[rows], _EACH).tolist()
        hard = [place for place in np.argsort(-losses[rows], kind="stable") if place not in common]
        pairs = zip(common, [*hard, *[None] * _EACH], strict=False)
        places = [place for pair in pairs for place in pair if place is not None]
        shown.rows.append(rows[places].tolist())
        shown.predicted.append(predicted[rows[places]].tolist())
    return shown


def pictures(shown: Shown, image: Callable[[int], np.ndarray | None]) -> Pictures:
    """Return the images of each class, at most as large as the page may show them.

    image: from a row to (height, width, channels) uint8, or None. The brightest pixel of all
    becomes white where it is dark, as in images of few grey levels.
    """
    arrays = [[image(row) for row in rows] for rows in shown.rows]
    known = [array for each in arrays for array in each if array is not None]
    brightest = max((int(array.max()) for array in known), default=255)
    factor = 255 / brightest if 0 < brightest < 128 else 1
    # One that cannot be read keeps its place, where there are others.
    none = np.zeros((1, 1, 1), dtype=np.uint8)
    return [
        [_picture(none if array is None else array, factor) for array in each if known]
        for each in arrays
    ]


def _picture(array: np.ndarray, factor: float) -> Image.Image:
    shown = array if array.shape[2] in (1, 3) else array[:, :, :1]
    shown = shown[:, :, 0] if shown.shape[2] == 1 else shown
    picture = Image.fromarray((shown * factor).astype(np.uint8))
    picture.thumbnail((SIZES[0][1],) * 2, Image.Resampling.LANCZOS)
    return picture


def strips(pictures: Pictures, budget: int) -> dict[str, Any] | None:
    """Return {"count", "side", "strips": base64 WebP per class}; None if no size fits the budget.

    budget: of bytes, in base64. A strip holds up to `count` squares of `side` pixels, in a row.
    """
    if not any(pictures):
        return None
    largest = max(max(each.size) for row in pictures for each in row)
    sample = pictures[:: -(-len(pictures) // _SAMPLE)]
    for count, side in dict.fromkeys((count, min(side, largest)) for count, side in SIZES):
        foretold = sum(map(len, _encoded(sample, count, side))) * len(pictures) / len(sample)
        if foretold <= budget:
            encoded = _encoded(pictures, count, side)
            if sum(map(len, encoded)) <= budget:
                return {"count": count, "side": side, "strips": encoded}
    return None


def _encoded(pictures: Sequence[Sequence[Image.Image]], count: int, side: int) -> list[str]:
    return [_strip(row[:count], side) for row in pictures]


def _strip(row: Sequence[Image.Image], side: int) -> str:
    if not row:
        return ""
    strip = Image.new("RGB" if row[0].mode == "RGB" else "L", (side * len(row), side))
    for place, picture in enumerate(row):
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        width, height = small.size
        strip.paste(small, (place * side + (side - width) // 2, (side - height) // 2))
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
