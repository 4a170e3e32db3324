"""A tree of images, one folder per class, stored as squares: for networks trained from pixels.

Every image is decoded twice: once to learn which can be, so that nothing is written if one cannot,
and once while it is written, so that they are never all in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from cobaye.data import image_files
from cobaye.data.datasets import Prepared, SelectedRows, _folders, _partition
from cobaye.data.datasets._data import ImageFiles
from cobaye.errors import DataError
from cobaye.storage import sources as source_files

EXAMPLE = {"folder": "images", "size": 8}
CHUNK = 256  # files handed to the decoders at once
SHOWN = 100  # unreadable images in a message; the manifest lists all that were skipped


@dataclass(frozen=True)
class Options:
    """Those of `image_folder`, and how images become squares."""

    #: Folder with one folder per part, each with one folder of images per class: `train/<class>/…`,
    #: `val/<class>/…`.
    folder: str
    #: Width and height in pixels. The central square of each image is stored at this size.
    size: int
    #: Images that cannot be decoded. `false`: they stop the job, which lists all of them. `true`:
    #: they are left out and listed in the manifest. Sizes in `splits` count them too.
    skip_unreadable: bool = False
    #: What classes are called, in figures and in options that name classes. `folder`: as their
    #: folders. `imagenet`: torchvision's words for its 1,000 folders, such as `hippopotamus` for
    #: `n02398521`.
    class_names: Literal["folder", "imagenet"] = "folder"
    #: Images of `train`, `val` and `test`, as pieces of the parts; by default each split is the
    #: part of the same name.
    splits: dict[str, dict[str, object]] = field(
        default_factory=lambda: {name: {"of": name} for name in ("train", "val", "test")}
    )

    def sizes(self) -> dict[str, object]:
        """Return the size as `image_folder` does; images are decoded twice, one by one."""
        each = {"seconds": 2 * _folders.DECODING, "held": _folders.NAME + _folders.SEEN}
        shape = (3, self.size, self.size)
        return _folders.sizes(self.folder, self.splits) | each | {"shape": shape}

    def __post_init__(self) -> None:
        """Refuse a size, or splits, that no data could meet."""
        found = _partition.problems(self.splits, None)
        if self.size < 1:
            found.append(f"size: {self.size!r} must be at least 1")
        if found:
            raise ValueError("; ".join(found))


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each."""
    return _folders.problems(options.folder, options.splits, options.class_names)


def sources(options: Options) -> list[str]:
    """Return the folders of the parts."""
    return _folders.sources(options.folder, options.splits)


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return images (N, 3, size, size) uint8, decoded when they are read.

    Raises DataError with the list of all images that cannot be decoded, unless they are skipped.
    """
    classes, divided = _folders.scan(options.folder, options.splits, options.class_names)
    total = sum(len(images) for images, _ in divided.values())
    splits, unreadable, seen = {}, {}, {}
    for split, (images, labels) in divided.items():
        unreadable_rows = []
        for row, (reason, found) in enumerate(_each(lambda path: _tried(path, options), images)):
            if reason is not None:
                unreadable_rows.append((row, reason))
            seen[images.paths[row]] = found
            if progress is not None:
                progress(len(seen), total)
        kept = np.setdiff1d(np.arange(len(images)), [row for row, _ in unreadable_rows])
        unreadable[split] = [(images.paths[row], reason) for row, reason in unreadable_rows]
        splits[split] = (SelectedRows({split: _Squares(images, options.size)}, kept), labels[kept])
    _refuse(options, [item for split in unreadable.values() for item in split])
    skipped = {
        split: [path for path, _ in unreadable_rows]
        for split, unreadable_rows in unreadable.items()
    }
    return Prepared(classes, splits, {"skipped": skipped}, (options.folder, seen))


def _refuse(options: Options, unreadable: list[tuple[str, str]]) -> None:
    if unreadable and not options.skip_unreadable:
        lines = [f"  {Path(options.folder, path)}: {reason}" for path, reason in unreadable[:SHOWN]]
        if len(unreadable) > SHOWN:
            lines.append(f"  and {len(unreadable) - SHOWN} more")
        raise DataError(
            f"{len(unreadable)} images cannot be decoded: mend or remove them, or set "
            "skip_unreadable: true\n" + "\n".join(lines)
        )


class _Squares:
    """Image files as an array (N, 3, size, size) uint8 that is decoded when it is indexed."""

    dtype = np.dtype(np.uint8)

    def __init__(self, images: ImageFiles, size: int):
        self.images, self.size = images, size
        self.shape = (len(images), 3, size, size)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        chosen = ImageFiles(self.images.root, [self.images.paths[row] for row in index])
        squares = np.empty((len(index), *self.shape[1:]), np.uint8)
        found = _each(lambda path: square(path.read_bytes(), self.size), chosen)
        for row, each in enumerate(found):
            squares[row] = each
        return squares


def _each(work: Callable[[Path], Any], images: ImageFiles) -> Iterator[Any]:
    """Yield work(path) of each file, in order, on all cores: decoders release Python's lock."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(images), CHUNK):
            stop = min(start + CHUNK, len(images))
            yield from pool.map(work, [images.path(row) for row in range(start, stop)])


def _tried(path: Path, options: Options) -> tuple[str | None, source_files.Seen]:
    """Return why a file cannot be decoded, None if it can, and what was seen of it."""
    seen = source_files.ABSENT
    try:
        content, seen = source_files.read(path)
        square(content, options.size)
    except OSError as error:
        return f"{type(error).__name__}: {error}", seen
    except image_files.Undecodable as error:
        return str(error), seen
    return None, seen


def square(content: bytes, size: int) -> np.ndarray:
    """Return the central square of an image, resized: (3, size, size) uint8, RGB.

    What torchvision's Resize and CenterCrop give, but for rounding of the longer side; here they
    are one step, so that a very long image is never enlarged whole.
    """
    image = image_files.decode(content)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = image.resize((size, size), Image.Resampling.BILINEAR, box)
    return np.asarray(resized).transpose(2, 0, 1)
