"""Attack on inputs: images of every mode and depth, arrays of every dtype, names of every kind.

What is read must be what a reference makes of the numbers that were written, or be refused with one
message.
"""

from __future__ import annotations

import io
import itertools
import os
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cobaye.data import image_files
from cobaye.data.datasets._folders import ENDINGS
from cobaye.errors import CobayeError
from tests.archives import arrays, prepare

MODES = (
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB",
    "I", "I;16", "I;16B", "I;16L", "F",
)  # fmt: skip
# What is compared with Pillow's own conversion: colours that are no red, green and blue.
CONVERTED = ("P", "PA", "CMYK", "YCbCr", "HSV", "LAB")
LOSSY = ("JPEG", "JPEG2000", "WEBP")
DTYPES = (
    "?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8",
    ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g", "F", "D", "O", "S3", "U3", "M8[s]", "m8",
    [("a", "f4"), ("b", "f4")],
)  # fmt: skip
LAYOUTS = ("C", "F", "strided", "reversed", "unaligned")
NAMES = (
    b"a b", b"-rf", b"a'b\"c", b"a\nb", b"a\tb", b"$HOME", b"{x}", b"*", b"\\", b"\xff", b"\xc3",
    "é".encode(), "e\u0301".encode(), "\u202egnp".encode(), "日本".encode(), b"x" * 250, b"%2e%2e",
    b"<b>", b" ", b"a.", b"#", b"&amp;", b"\x01", b"\x7f", b".hidden", b"--", b"~", b"a;b",
)  # fmt: skip
SPLITS = ("train", "val", "test")
Case = tuple[str, Callable[[Path], tuple[Any, Any]]]


class _Unwritable(Exception):
    """What a format cannot hold."""


def attack(folder: Path, report: Callable[[str, str, str], None]) -> dict[str, Counter[str]]:
    """Try every case; return the columns of the table, per attack.

    report: called with each defect: case, column, text.
    """
    attacks = {"images": images(), "arrays": features(), "names": names()}
    found = {}
    for attack, cases in attacks.items():
        counts = found[attack] = Counter[str]()
        for name, case in cases:
            place = folder / "case"
            place.mkdir()
            column, said = _outcome(case, place)
            shutil.rmtree(place)
            if column != "unwritable":
                counts["tried"] += 1
                counts[column] += 1
            if column not in ("refused", "accepted rightly", "unwritable"):
                report(f"{attack}: {name}", column, said)
    return found


def _outcome(case: Callable[[Path], tuple[Any, Any]], folder: Path) -> tuple[str, str]:
    try:
        actual, expected = case(folder)
    except _Unwritable:
        return "unwritable", ""
    except (CobayeError, image_files.Undecodable) as error:
        return ("refused" if str(error) else "unclear message"), str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    right = np.shape(actual) == np.shape(expected) and np.array_equal(actual, expected)
    return ("accepted rightly", "") if right else ("wrong in silence", f"{actual}\n{expected}")


def images() -> Iterator[Case]:
    """Yield an image for each mode and each format of the endings that are read."""
    Image.init()
    formats = {Image.EXTENSION[ending] for ending in ENDINGS} | {"JPEG2000", "GIF", "TGA", "PCX"}
    for form in sorted(formats & Image.SAVE.keys()):
        for mode in MODES:
            content = _image(form, mode)
            if content is not None:
                yield f"{form} {mode}", lambda _, given=content: _decoded(*given)


def _image(form: str, mode: str) -> tuple[str, bytes] | None:
    """Return form and content of an image file; None where Pillow cannot write one."""
    file = io.BytesIO()
    try:
        _pixels(mode).save(file, form, **({"lossless": True} if form == "WEBP" else {}))
    except (OSError, ValueError, KeyError, SystemError):
        return None
    return form, file.getvalue()


def _pixels(mode: str) -> Image.Image:
    """Return an image of a mode, its pixels all over the mode's range."""
    steps = np.linspace(0, 1, 35 * 3).reshape(7, 5, 3)
    if mode == "F":
        return Image.fromarray(steps[..., 0].astype(np.float32))
    if mode[0] == "I":
        dtype = {"I": "<i4", "I;16B": ">u2"}.get(mode, "<u2")
        values = np.rint(65535 * steps[..., 0]).astype(dtype)
        return Image.frombytes(mode, (5, 7), values.tobytes())
    image = Image.fromarray(np.rint(255 * steps).astype(np.uint8))
    alpha = {"La": "LA", "RGBa": "RGBA"}.get(mode)
    return image.convert(alpha).convert(mode) if alpha else _as(image, mode)


def _as(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.frombytes(mode, image.size, image.tobytes())
    return image.convert("P").convert(mode) if mode == "PA" else image.convert(mode)


def _decoded(form: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return what the library reads of an image, and the reference: from what is stored."""
    actual = np.asarray(image_files.decode(content))
    with Image.open(io.BytesIO(content)) as stored:
        stored.load()
        values, mode = np.asarray(stored), stored.mode
        if mode in CONVERTED:
            return actual, np.asarray(stored.convert("RGB"))
    if mode == "F":
        values = np.rint(255 * values.astype(np.float64))
    elif mode[0] == "I":
        values = np.rint(255 * values.astype(np.float64) / 65535)
    elif mode == "1":
        values = 255 * values
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = values[..., :-1]
    return actual, np.broadcast_to(values.reshape(*values.shape[:2], -1), actual.shape)


def features() -> Iterator[Case]:
    """Yield ready-made features and labels of each dtype, layout and format."""
    for dtype in DTYPES:
        for layout in LAYOUTS:
            for suffix in ("npy", "npz", "safetensors", "parquet"):
                name = f"{dtype} {layout} {suffix}"
                yield name, lambda folder, given=(dtype, layout, suffix): _features(folder, *given)
        yield f"labels {dtype}", lambda folder, given=dtype: _labels(folder, given)


def _array(dtype: Any, layout: str) -> np.ndarray:
    """Return (24, 6) numbers of a dtype, laid out in memory in a way."""
    values = np.arange(144).reshape(24, 6) % 100
    array = np.zeros((24, 6), dtype) if isinstance(dtype, list) else values.astype(dtype)
    if layout == "unaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        shifted = raw[1:].view(array.dtype) if not array.dtype.hasobject else array.ravel()
        shifted = shifted.reshape(array.shape)
        shifted[...] = array
        return shifted
    twice = np.repeat(array, 2, axis=1)
    found = {"C": array, "F": np.asfortranarray(array), "strided": twice[:, ::2]}
    return found.get(layout, array[::-1][::-1] if layout == "reversed" else array)


def _features(folder: Path, dtype: Any, layout: str, suffix: str) -> tuple[Any, Any]:
    array, path = _array(dtype, layout), folder / f"all.{suffix}"
    labels = np.arange(24) % 3
    try:
        if suffix == "npy":
            np.save(path, array)
            np.save(folder / "labels.npy", labels)
        elif suffix == "npz":
            np.savez(path, features=array, labels=labels)
        elif suffix == "safetensors":
            save_file({"features": np.ascontiguousarray(array), "labels": labels}, path)
        else:
            pq.write_table(pa.table({"features": list(array), "labels": labels}), path)
    except (KeyError, ValueError, TypeError, pa.ArrowException, SafetensorError) as error:
        raise _Unwritable from error
    named = folder / "labels.npy" if suffix == "npy" else None
    found = _prepared(folder, path, named)
    return found, array.astype(found.dtype)


def _labels(folder: Path, dtype: Any) -> tuple[Any, Any]:
    labels = np.zeros(24, dtype) if isinstance(dtype, list) else (np.arange(24) % 2).astype(dtype)
    np.save(folder / "all.npy", np.zeros((24, 6), np.float32))
    np.save(folder / "labels.npy", labels)
    return _prepared(folder, folder / "all.npy", folder / "labels.npy", 1), np.arange(24) % 2


def _prepared(folder: Path, path: Path, labels: Path | None, part: int = 0) -> np.ndarray:
    """Return the features (part 0) or labels (1) of a file that is all splits."""
    options: dict[str, Any] = {"parts": dict.fromkeys(SPLITS, str(path))}
    if labels:
        options["labels"] = dict.fromkeys(SPLITS, str(labels))
    _, prepared = prepare(folder / "root", "features", **options)
    return arrays(prepared, "val", "features")[part]


def names() -> Iterator[Case]:
    """Yield trees of images in which a class or a file has an odd name."""
    for name in NAMES:
        for place in ("class", "file"):
            yield f"{place} {name!r}", lambda folder, given=(name, place): _tree(folder, *given)


def _tree(folder: Path, name: bytes, place: str) -> tuple[Any, Any]:
    """Return (shade, label) of each image, and what they must be by the names of the classes."""
    root, classes = os.fsencode(folder / "tree"), sorted([b"k", name if place == "class" else b"m"])
    for number, (part, of_class) in enumerate(itertools.product((*SPLITS,), classes)):
        path = os.path.join(root, part.encode(), of_class)
        os.makedirs(path)
        file = name if place == "file" and number == 0 else b"0"
        with open(os.path.join(path, file + b".png"), "wb") as opened:
            Image.new("L", (4, 4), 10 + classes.index(of_class)).save(opened, "PNG")
    _, prepared = prepare(folder / "root", "image-folder-resized", folder=os.fsdecode(root), size=4)
    found = [arrays(prepared, split) for split in SPLITS]
    told = [(images[:, 0, 0, 0] - 10).tolist() for images, _ in found]
    return [labels.tolist() for _, labels in found], told
