"""MNIST, FashionMNIST, CIFAR-10 and CIFAR-100, as torchvision reads them.

Their files are those that `fetch` downloads, or others that lie there. CIFAR's are pickles: a file
is unpickled only once its md5 is that of its makers' file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from cobaye.data.datasets import Prepared, SelectedRows, _archives
from cobaye.data.datasets._archives import FILES
from cobaye.data.datasets._partition import divide, most
from cobaye.data.datasets._partition import problems as split_problems
from cobaye.errors import DataError

EXAMPLE = {"name": "MNIST", "download": False}
PARTS = ("train", "test")
# Images of each part, shape of an image, and classes.
SIZES = {
    "MNIST": ({"train": 60_000, "test": 10_000}, (1, 28, 28), 10),
    "FashionMNIST": ({"train": 60_000, "test": 10_000}, (1, 28, 28), 10),
    "CIFAR10": ({"train": 50_000, "test": 10_000}, (3, 32, 32), 10),
    "CIFAR100": ({"train": 50_000, "test": 10_000}, (3, 32, 32), 100),
}


@dataclass(frozen=True)
class Options:
    """Which of torchvision's datasets, where its files are, and how images are split."""

    #: torchvision's name of the dataset.
    name: Literal["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100"]
    #: Folder that holds the unpacked archive (`MNIST/raw/`, `cifar-10-batches-py/`,
    #: `cifar-100-python/`), or that it is downloaded to. Downloads stay in the project: what an
    #: absolute path, or one with `..`, lacks is not downloaded. A relative one may be a link to
    #: another disk.
    folder: str = "resources/downloads"
    #: Whether files that are missing are downloaded, by a job that runs where Snakemake does. An
    #: archive that lies there is unpacked. Files are used only if they have the md5 that their
    #: publisher states (of MNIST, the archives have one).
    download: bool = True
    #: Images of `train`, `val` and `test`, as pieces of the parts; by default `val` is the last
    #: 10,000 images of the part `train`, which has the others.
    splits: dict[str, dict[str, object]] = field(
        default_factory=lambda: {
            "train": {"of": "train"},
            "val": {"of": "train", "last": 10000},
            "test": {"of": "test"},
        }
    )

    def sizes(self) -> dict[str, object]:
        """Return the size of the data."""
        parts, shape, classes = SIZES[self.name]
        return {"images": most(self.splits, parts), "shape": shape, "classes": classes}

    def downloads(self) -> bool:
        """Tell whether what is missing may be downloaded: only to folders inside the project."""
        folder = PurePath(self.folder)
        return self.download and not folder.is_absolute() and ".." not in folder.parts

    def __post_init__(self) -> None:
        """Refuse splits that no data could meet."""
        if found := split_problems(self.splits, PARTS):
            raise ValueError("; ".join(found))


def problems(options: Options) -> list[str]:
    """Return what would stop `fetch` and `prepare`, one sentence each; no import of torchvision."""
    return [] if options.downloads() else _missing(options)


def _missing(options: Options) -> list[str]:
    missing = _archives.missing(options.name, options.folder)
    if not missing:
        return []
    inside, names = FILES[options.name]
    what = f"{missing[0].parent}/" if len(missing) == len(names) else f"{missing[0]}"
    how = f"put {inside}/ there, or set folder: to where it lies"
    if not options.download:
        archived = _archives.lie_there(options.name, options.folder)
        more = "have the archive that lies there unpacked" if archived else "have it downloaded"
        how += f", or set download: true to {more}"
    elif options.downloads():
        how += ", or have it downloaded: snakemake --forcerun fetch_dataset"
    else:
        how += " (downloads stay in the project: a relative path without '..')"
    return [f"{options.name} is not in {options.folder} ({what} is missing): {how}"]


def to_fetch(options: Options) -> int:
    """Return the bytes that `fetch` would write; torchvision is not imported."""
    if not options.downloads():
        return 0
    parts, shape, _ = SIZES[options.name]
    unpacked = sum(parts.values()) * (math.prod(shape) + 1)
    return _archives.to_write(options.name, options.folder, unpacked)


def fetch(options: Options) -> None:
    """Download and unpack what is missing, if that is allowed.

    Raises DataError for what is missing then, and for what is damaged.
    """
    if options.downloads():
        _archives.fetch(options.name, options.folder)
    _refuse_missing_or_damaged(options)


def _refuse_missing_or_damaged(options: Options) -> None:
    if missing := _missing(options):
        raise DataError("; ".join(missing))
    _archives.refuse_damaged(options.name, options.folder)


def sources(options: Options) -> list[str]:
    """Return the files that torchvision reads."""
    inside, names = FILES[options.name]
    return [str(Path(options.folder, inside, name)) for name in names]


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return images (N, 1, 28, 28) or (N, 3, 32, 32) uint8.

    Raises DataError for a file that is missing, or not its makers', or cannot be read.
    """
    _refuse_missing_or_damaged(options)
    loader = _loader(options.name)
    parts = {part: _read(loader, options, part) for part in PARTS}
    labels = {part: np.asarray(read.targets, np.int64) for part, read in parts.items()}
    images = {part: _images(read.data) for part, read in parts.items()}
    for part in PARTS:
        if len(images[part]) != len(labels[part]):
            raise DataError(
                f"{options.name}: its {part} files hold {len(images[part])} images "
                f"but {len(labels[part])} labels"
            )
    rows = divide(labels, options.splits)
    every = np.concatenate(list(labels.values()))
    return Prepared(
        # MNIST's are "7 - seven".
        classes=[{"name": name.partition(" - ")[0]} for name in parts["train"].classes],
        splits={
            split: (SelectedRows(images, index), every[index]) for split, index in rows.items()
        },
    )


def _loader(name: str) -> Any:
    """Return torchvision's class, which reads nothing but the files that were checked."""
    import torchvision

    loader = getattr(torchvision.datasets, name)
    if name in _archives.PACKED:
        return loader
    # torchvision prefers processed/*.pt, which are pickles; its folder has its class's name.
    return type(name, (loader,), {"_check_legacy_exist": lambda self: False})


def _read(loader: Any, options: Options, part: str) -> Any:
    """Return a part as torchvision reads it."""
    with warnings.catch_warnings():
        # CIFAR was pickled by a NumPy of 2009, which versions 2.4.0 to 2.4.4 complain about.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        try:
            return loader(options.folder, train=part == "train")
        except (RuntimeError, OSError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise DataError(
                f"{options.name}: torchvision cannot read its {part} files in "
                f"{Path(options.folder, FILES[options.name][0])}: "
                f"{type(error).__name__}: {error}"
            ) from None


def _images(data: Any) -> np.ndarray:
    """Return (N, C, H, W) from torchvision's (N, H, W) tensor or (N, H, W, C) array."""
    return data.numpy()[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
