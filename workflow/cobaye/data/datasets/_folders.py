"""Trees of images, one folder per class: shared by the kinds that read them.

A part is a folder (``train/``, ``val/``, …) in torchvision's ImageFolder layout. Links are
followed, and an image that is reached twice is refused: it would count twice, or get into two
splits.
"""

from __future__ import annotations

import functools
import mimetypes
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cobaye.data.datasets import _partition
from cobaye.data.datasets._data import ImageFiles
from cobaye.errors import DataError, nearest
from cobaye.storage import sources as source_files

# The endings that torchvision's ImageFolder reads.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
WNID = re.compile(r"n\d{8}")
IMAGENET_CLASSES = 1000
# What jobs ask for, where a manifest does not tell: images, at most, of a folder of more files than
# are counted; seconds to find an image file, assumed for a network's disk, and to decode one (1.4
# ms for a made one of 500×400); bytes of its names while they are held, and of what was seen of it.
IMAGENET = {"train": 1_300_000, "val": 50_000, "test": 50_000}
COUNTED = 100_000
LISTING, DECODING, NAME, SEEN = 1e-3, 0.01, 1000, 1000


def problems(folder: str, splits: Mapping[str, Mapping[str, Any]], class_names: str) -> list[str]:
    """Return what would stop `scan`, one sentence each; only folders are looked at."""
    parts = _parts(splits)
    if not Path(folder).is_dir():
        there = " and ".join(f"{part}/<class>/" for part in parts)
        whose, source = "the", ""
        if class_names == "imagenet":
            whose, source = "ImageNet's", " (from image-net.org, which asks for a registration)"
        return [
            f"{folder} is missing: put {whose} {there} folders of images{source} there, "
            "or set folder: to where they lie"
        ]
    known = _subfolders(Path(folder))
    sentences = [
        f"{Path(folder, part)} is missing: the splits need it as a part "
        f"({nearest(part, known)}): put it there, or name another in splits"
        for part in parts
        if not Path(folder, part).is_dir()
    ]
    if sentences:
        return sentences
    sentences = [
        f"{Path(folder, part)} has no folders: put one folder of images per class there"
        for part in parts
        if not _subfolders(Path(folder, part))
    ]
    return sentences or _imagenet_problems(folder, splits, class_names)


def _imagenet_problems(
    folder: str, splits: Mapping[str, Mapping[str, Any]], class_names: str
) -> list[str]:
    names = _class_folders(folder, splits)
    fitting = [name for name in names if WNID.fullmatch(name)]
    if class_names == "folder" or len(fitting) == len(names) == IMAGENET_CLASSES:
        return []
    return [
        f"class_names: 'imagenet' needs the {IMAGENET_CLASSES} folders n01440764 to n15075141, "
        f"but {folder} has {len(names)} classes, {len(fitting)} of them named like that: "
        "set class_names: folder"
    ]


def sizes(folder: str, splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return images by split and classes: counted once, or ImageNet's.

    ImageNet's are those of a folder that is missing or has more than `COUNTED` files.
    """
    try:
        counted = _files_of(os.path.abspath(folder), tuple(_parts(splits)))
        classes = len(_class_folders(folder, splits))
    except OSError:
        counted = None
    if counted is None:
        return {"images": IMAGENET, "classes": IMAGENET_CLASSES}
    return {"images": _partition.most(splits, counted), "classes": classes}


@functools.cache
def _files_of(folder: str, parts: tuple[str, ...]) -> dict[str, int] | None:
    """Return part → number of files below it; None if they are too many to be counted."""
    counts = dict.fromkeys(parts, 0)
    for part in parts:
        for _, entries in source_files.walk(Path(folder, part)):
            counts[part] += len(entries)
            if sum(counts.values()) > COUNTED:
                return None
    return counts


def sources(folder: str, splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the folders of the parts."""
    return [str(Path(folder, part)) for part in _parts(splits)]


def scan(
    folder: str, splits: Mapping[str, Mapping[str, Any]], class_names: str
) -> tuple[list[dict[str, Any]], dict[str, tuple[ImageFiles, np.ndarray]]]:
    """Return the classes, and split → image files and labels (N,) int64; nothing is decoded.

    The classes are those of the train split's parts, sorted by folder name. Raises DataError for a
    class of another part that is not among them, for an image that is reached twice through links,
    for a name that is not UTF-8, and for images of an ending that is not read.
    """
    names = _class_folders(folder, splits)
    for name in names:
        _refuse_encoding(name)
    paths: list[str] = []
    reached: dict[str, str] = {}
    labels = {}
    for part in _parts(splits):
        part_paths, labels[part] = _scan_part(folder, part, names, reached)
        paths += part_paths
    every = np.concatenate(list(labels.values()))
    rows = _partition.divide(labels, splits)
    divided = {
        split: (ImageFiles(folder, [paths[row] for row in index]), every[index])
        for split, index in rows.items()
    }
    return _classes(names, class_names), divided


def _scan_part(
    folder: str, part: str, names: list[str], reached: dict[str, str]
) -> tuple[list[str], np.ndarray]:
    """Return the images of a part and their labels; reached: the true path of each image so far."""
    label_of = {name: label for label, name in enumerate(names)}
    place = Path(folder, part)
    unknown = [name for name in _subfolders(place) if name not in label_of]
    if unknown:
        raise DataError(
            f"{place / unknown[0]}: class {unknown[0]!r} is not one of train's "
            f"({len(unknown)} such): {nearest(unknown[0], names)[:300]}"
        )
    paths, labels = [], []
    for name in _subfolders(place):
        for found, true in sorted(_images(place / name)):
            if (first := reached.setdefault(true, found)) != found:
                raise DataError(
                    f"{found} and {first} are one file, through a link: an image may be there only "
                    "once: remove one of the two"
                )
            paths.append(os.path.relpath(found, folder).replace(os.sep, "/"))
            labels.append(label_of[name])
    return paths, np.array(labels, np.int64)


def _images(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path and true path, without links, of each image below a class's folder."""
    for place, entries in source_files.walk(folder):
        true_place = os.path.realpath(place)
        for entry in entries:
            linked = entry.is_symlink()
            if entry.name.lower().endswith(ENDINGS):
                _refuse_encoding(entry.path)
                true = os.path.realpath(entry.path) if linked else f"{true_place}/{entry.name}"
                yield entry.path, true
            elif (_KNOWN.guess_type(entry.name)[0] or "").startswith("image/"):
                raise DataError(
                    f"{entry.path}: images with this ending are not read (but {' '.join(ENDINGS)}):"
                    " convert it, or remove it"
                )


def _refuse_encoding(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path!r}: the name is not UTF-8: rename it") from None


# Python's own list of endings, whatever this system has.
_KNOWN = mimetypes.MimeTypes()


def _classes(names: list[str], class_names: str) -> list[dict[str, Any]]:
    if class_names == "folder":
        return [{"name": name} for name in names]
    from torchvision.models import ResNet50_Weights

    words = ResNet50_Weights.IMAGENET1K_V2.meta["categories"]
    return [{"name": word, "wnid": name} for word, name in zip(words, names, strict=True)]


def _parts(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the parts that the splits are made of, sorted: in a config their order is nothing."""
    return sorted({part for rule in splits.values() for part in _partition.pooled(rule)})


def _class_folders(folder: str, splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    parts = _partition.pooled(splits["train"])
    return sorted({name for part in parts for name in _subfolders(Path(folder, part))})


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
