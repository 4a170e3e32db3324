"""Letters and digits of Unicode, drawn with the fonts that ship inside matplotlib: no download.

Each image is one character in a random face, size, position, rotation, shear, blur, contrast and
noise, in grey. Labels are in code-point order, so neighbours look alike (À Á Â), as they do in
ImageNet's WordNet order; a few far ones are the same drawing in most faces (Latin B, Greek Β).

Every class of every split has a random generator of its own, from (seed, split, code point): an
image does not depend on which other classes there are, and no two splits share one.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cobaye.data.datasets import Prepared
from cobaye.data.datasets._fonts import FACES, characters, file_of, font
from cobaye.storage.paths import SPLITS

CATEGORIES = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"}
RUN = 8  # classes beyond ASCII are taken in runs of this many neighbours
EM = 1.25  # of the outlines, in sizes of the image
CHUNK = 256  # images drawn at once: bounds the memory, and fits the processor's cache
EXAMPLE = {"classes": 4, "train": 3, "val": 2, "test": 2, "size": 8}


@dataclass(frozen=True)
class Options:
    """Which characters, how many images of each per split, and how hard they are to read."""

    classes: int = 200  #: Number of letters and digits of Unicode.
    #: Images per class in the training split.
    train: int = 60
    #: Images per class in the validation split.
    val: int = 20
    #: Images per class in the test split.
    test: int = 50
    size: int = 32  #: Width and height in pixels.
    seed: int = 0  #: Seed of all random choices in the dataset.
    #: A character is used if at least so many of the 16 font faces contain it. 14 leave 605
    #: characters, 12 leave 1,540.
    min_faces: int = 14
    rotation: float = 15.0  #: Largest rotation, degrees, either way.
    shear: float = 0.2  #: Largest shear, either way.
    #: Smallest size of a character, as a share of the largest.
    scale: float = 0.65
    #: Largest shift, either way, as a share of the image.
    shift: float = 0.06
    #: Largest standard deviation of the blur, pixels.
    blur: float = 1.0
    contrast: float = 0.35  #: Lowest contrast; 1 is full.
    #: Largest standard deviation of the noise; 1 is full contrast.
    noise: float = 0.18

    def sizes(self) -> dict[str, object]:
        """Return the size of the data; 26,000 were drawn in 9.8 s on a busy machine."""
        per_class = {"train": self.train, "val": self.val, "test": self.test}
        return {
            "images": {split: self.classes * count for split, count in per_class.items()},
            "shape": (1, self.size, self.size),
            "classes": self.classes,
            "seconds": 5e-4,
        }


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each, drawing nothing."""
    sentences = [
        f"{key}: {getattr(options, key)!r} must be {rule}"
        for key, rule, holds in _rules(options)
        if not holds
    ]
    missing = [face for face in FACES if not file_of(face).is_file()]
    if missing:
        sentences.append(f"matplotlib's fonts are not complete: {file_of(missing[0])} is missing")
    if not sentences and options.classes > (most := len(candidates(options.min_faces))):
        sentences.append(
            f"classes: {options.classes} is more than the {most} letters and digits that at least "
            f"min_faces: {options.min_faces} of matplotlib's {len(FACES)} faces can draw"
        )
    return sentences


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Draw the dataset.

    Images are uint8 (classes · images per class, 1, size, size), the classes one after the other
    in code-point order; `progress` is called with the classes done and their total.
    """
    codes = choose(options)
    shape = (1, options.size, options.size)
    images = {
        split: np.empty((len(codes), getattr(options, split), *shape), np.uint8) for split in SPLITS
    }
    for label, code in enumerate(codes):
        outlines = draw_outlines(code, options.size)
        for number, split in enumerate(SPLITS):
            rng = np.random.default_rng([options.seed, number, code])
            for start in range(0, images[split].shape[1], CHUNK):
                rows = images[split][label, start : start + CHUNK, 0]
                rows[:] = _photograph(outlines, len(rows), options, rng)
        if progress is not None:
            progress(label + 1, len(codes))
    return Prepared(
        classes=[
            {"name": _name(code), "code_point": code, "unicode": unicodedata.name(chr(code))}
            for code in codes
        ],
        splits={
            split: (drawn.reshape(-1, *shape), np.repeat(np.arange(len(codes)), drawn.shape[1]))
            for split, drawn in images.items()
        },
    )


def candidates(min_faces: int) -> list[int]:
    """Return the code points of all letters and digits that so many faces have, in order."""
    counted = Counter(code for face in FACES for code in characters(face))
    return sorted(
        code
        for code, faces in counted.items()
        if faces >= min_faces and unicodedata.category(chr(code)) in CATEGORIES
    )


def choose(options: Options) -> list[int]:
    """Return the code points of the classes, in order.

    ASCII's digits, capitals and small letters come first, so that 10 classes are the ten digits
    and 62 are all of ASCII; then runs of neighbours, in an order that the seed gives.
    """
    codes = candidates(options.min_faces)
    ascii_, rest = [c for c in codes if c < 128], [c for c in codes if c >= 128]
    runs = [rest[start : start + RUN] for start in range(0, len(rest), RUN)]
    order = np.random.default_rng([options.seed, len(SPLITS)]).permutation(len(runs))
    return sorted((ascii_ + [code for run in order for code in runs[run]])[: options.classes])


def draw_outlines(code: int, size: int) -> np.ndarray:
    """Draw one character, large, once in every face that has it: float32 (faces, M, M) in 0..1.

    The em is EM · `size` pixels and M 1.8 em; the baseline is 0.36 em below the middle, so that
    a capital stands in the middle.
    """
    em = round(EM * size)
    # A face that lacks the character would draw the box of a missing glyph.
    faces = [face for face in FACES if code in characters(face)]
    return np.stack([_draw(font(face, em), chr(code)) for face in faces])


def _draw(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    side = round(1.8 * font.size)
    left, _, right, _ = font.getbbox(character, anchor="ls")
    page = Image.new("L", (side, side))
    corner = ((side - left - right) / 2, side / 2 + 0.36 * font.size)
    ImageDraw.Draw(page).text(corner, character, fill=255, font=font, anchor="ls")
    return np.asarray(page, np.float32) / 255


def _photograph(
    outlines: np.ndarray, count: int, options: Options, rng: np.random.Generator
) -> np.ndarray:
    """Return `count` images of one character: uint8 (count, size, size)."""
    size = options.size
    images = _transform(outlines, count, options, rng)
    images = _blur(images, rng.uniform(0.3, max(0.3, options.blur), count))
    contrast = rng.uniform(options.contrast, 1, count)
    ground = rng.uniform(0, 1 - contrast)
    images *= _column(contrast)
    images += _column(ground)
    noise = rng.standard_normal((count, size, size), np.float32)
    noise *= _column(rng.uniform(0, options.noise, count))
    images += noise
    images *= 255
    return np.rint(np.clip(images, 0, 255, out=images), out=images).astype(np.uint8)


def _transform(
    outlines: np.ndarray, count: int, options: Options, rng: np.random.Generator
) -> np.ndarray:
    """Pick a face for each image and resample it, bilinearly: float32 (count, size, size)."""
    size, side = options.size, outlines.shape[1]
    face = rng.integers(len(outlines), size=count)
    angle = np.deg2rad(rng.uniform(-options.rotation, options.rotation, count))
    shear = rng.uniform(-options.shear, options.shear, count)
    # How many pixels of the outline one pixel of the image steps over: the largest em is 0.8 size.
    step = EM / 0.8 / rng.uniform(options.scale, 1, count)
    shift_x, shift_y = rng.uniform(-options.shift, options.shift, (2, count)) * size
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    place = np.arange(size, dtype=np.float32) - (size - 1) / 2
    x, y = place - _column(shift_x), place[:, None] - _column(shift_y)
    source_x = _column(cos + shear * sin) * x + _column(shear * cos - sin) * y
    source_y = _column(sin) * x + _column(cos) * y
    for source in (source_x, source_y):
        source += (side - 1) / 2
        np.clip(source, 0, side - 1.01, out=source)  # the outlines' borders are empty
    column, row = source_x.astype(np.int32), source_y.astype(np.int32)
    source_x -= column
    source_y -= row
    first = (face.astype(np.int32)[:, None, None] * side + row) * side + column
    flat = outlines.ravel()
    above = flat[first] * (1 - source_x) + flat[first + 1] * source_x
    first += side
    below = flat[first] * (1 - source_x) + flat[first + 1] * source_x
    return above + (below - above) * source_y


def _blur(images: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Blur each image by a Gaussian of its own, first down, then across; dark outside."""
    reach = np.arange(-2, 3)
    weights = np.exp(-0.5 * (reach / deviation[:, None]) ** 2)
    weights /= weights.sum(1, keepdims=True)
    size = images.shape[1]
    down = np.pad(images, ((0, 0), (2, 2), (0, 0)))
    images = sum(_column(weights[:, k]) * down[:, k : k + size] for k in range(5))
    across = np.pad(images, ((0, 0), (0, 0), (2, 2)))
    return sum(_column(weights[:, k]) * across[:, :, k : k + size] for k in range(5))


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]


def _rules(options: Options) -> list[tuple[str, str, bool]]:
    """Return (key, what its value must be, whether it is) of every option."""
    return [
        ("classes", "at least 2", options.classes >= 2),
        *((split, "at least 1", getattr(options, split) >= 1) for split in SPLITS),
        ("size", "from 8 to 128", 8 <= options.size <= 128),
        ("seed", "at least 0", options.seed >= 0),
        ("min_faces", f"from 1 to {len(FACES)}", 1 <= options.min_faces <= len(FACES)),
        ("rotation", "from 0 to 180", 0 <= options.rotation <= 180),
        ("shear", "from 0 to 1", 0 <= options.shear <= 1),
        ("scale", "above 0.2, at most 1", 0.2 < options.scale <= 1),
        ("shift", "from 0 to 0.5", 0 <= options.shift <= 0.5),
        ("blur", "from 0 to 2", 0 <= options.blur <= 2),
        ("contrast", "above 0, at most 1", 0 < options.contrast <= 1),
        ("noise", "from 0 to 1", 0 <= options.noise <= 1),
    ]


def _name(code: int) -> str:
    """Return the character; outside ASCII its code point too, as some look the same."""
    return chr(code) if code < 128 else f"{chr(code)} U+{code:04X}"
