"""MNIST, FashionMNIST, CIFAR-10 and CIFAR-100, as torchvision reads them.

CIFAR's archives are pickles: a file is unpickled only once its md5 is that of its makers' file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from cobaye.data.datasets import Prepared, SelectedRows
from cobaye.data.datasets._partition import divide, most
from cobaye.data.datasets._partition import problems as split_problems
from cobaye.errors import DataError

EXAMPLE = {"name": "MNIST"}
PARTS = ("train", "test")
# Images of each part, shape of an image, and classes.
SIZES = {
    "MNIST": ({"train": 60_000, "test": 10_000}, (1, 28, 28), 10),
    "FashionMNIST": ({"train": 60_000, "test": 10_000}, (1, 28, 28), 10),
    "CIFAR10": ({"train": 50_000, "test": 10_000}, (3, 32, 32), 10),
    "CIFAR100": ({"train": 50_000, "test": 10_000}, (3, 32, 32), 100),
}
IDX = tuple(
    f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
# Where torchvision looks inside `folder`, and for which files.
FILES = {
    "MNIST": ("MNIST/raw", tuple(f"{name}-ubyte" for name in IDX)),
    "FashionMNIST": ("FashionMNIST/raw", tuple(f"{name}-ubyte" for name in IDX)),
    "CIFAR10": (
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
    ),
    "CIFAR100": ("cifar-100-python", ("train", "test", "meta")),
}
ARCHIVES = {"CIFAR10": "cifar-10-python.tar.gz", "CIFAR100": "cifar-100-python.tar.gz"}


@dataclass(frozen=True)
class Options:
    """Which of torchvision's datasets, where its files are, and how images are split."""

    #: torchvision's name of the dataset.
    name: Literal["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100"]
    #: Folder that holds the unpacked archive (`MNIST/raw/`, `cifar-10-batches-py/`,
    #: `cifar-100-python/`), or that it is downloaded to. With `download: true` it must be a
    #: relative path without `..`, so that downloads stay in the project. A link there may lead to
    #: another disk.
    folder: str = "resources/downloads"
    #: Whether missing files may be downloaded. CIFAR's files are pickles: a file is opened only if
    #: it has the md5 that its publisher states.
    download: bool = False
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

    def __post_init__(self) -> None:
        """Refuse splits that no data could meet, and downloads to anywhere outside the project."""
        if found := split_problems(self.splits, PARTS):
            raise ValueError("; ".join(found))
        folder = PurePath(self.folder)
        if self.download and (folder.is_absolute() or ".." in folder.parts):
            raise ValueError(
                f"folder: {self.folder!r}: downloads stay in the project: a relative path without "
                "'..' (it may be a link to another disk), or download: false"
            )


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each; torchvision is not imported."""
    if options.download:
        return []
    inside, names = FILES[options.name]
    place = Path(options.folder, inside)
    missing = [name for name in names if not (place / name).is_file()]
    if not missing:
        return []
    what = f"{place}/" if len(missing) == len(names) else f"{place / missing[0]}"
    if _archived(options, missing):
        how = "set download: true to have the archive that lies there checked and unpacked"
    else:
        how = f"put {inside}/ there, set folder: to where it lies, or set download: true"
    return [f"{options.name} is not in {options.folder} ({what} is missing): {how}"]


def _archived(options: Options, missing: list[str]) -> bool:
    """Tell whether what is missing is there, packed, so that torchvision need not download it."""
    if options.name in ARCHIVES:
        return Path(options.folder, ARCHIVES[options.name]).is_file()
    place = Path(options.folder, FILES[options.name][0])
    return all((place / f"{name}.gz").is_file() for name in missing)


def sources(options: Options) -> list[str]:
    """Return the files that torchvision reads."""
    inside, names = FILES[options.name]
    return [str(Path(options.folder, inside, name)) for name in names]


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return images (N, 1, 28, 28) or (N, 3, 32, 32) uint8.

    Raises DataError for a file that is not its makers', for one that cannot be read, and for a
    download that failed.
    """
    loader = _loader(options)
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


def _loader(options: Options) -> Any:
    """Return torchvision's class; CIFAR's files are checked, unless they may be downloaded."""
    import torchvision

    loader = getattr(torchvision.datasets, options.name)
    if options.name in ARCHIVES:
        if not options.download:
            _check_md5(loader, options)
        return loader
    # torchvision prefers processed/*.pt, which are pickles; its folder has its class's name.
    own = {"_check_legacy_exist": lambda self: False}
    if options.download:
        own["_check_exists"] = _is_unpacked
    return type(options.name, (loader,), own)


def _is_unpacked(loader: Any) -> bool:
    """Tell whether MNIST's files are whole; torchvision asks only whether they are there."""
    places = [Path(loader.raw_folder, Path(name).stem) for name, _ in loader.resources]
    return all(place.is_file() and _is_whole(place) for place in places)


def _is_whole(path: Path) -> bool:
    """Tell whether a file is as long as its head says: 0, 0, type, rank, sizes, data in bytes."""
    with open(path, "rb") as file:
        head = file.read(4)
        sizes = file.read(4 * head[3]) if len(head) == 4 else b""
    shape = np.frombuffer(sizes[: len(sizes) // 4 * 4], ">i4").astype(np.int64)
    return len(head) == 4 and path.stat().st_size == 4 + 4 * head[3] + int(np.prod(shape))


def _check_md5(loader: Any, options: Options) -> None:
    """Raise DataError unless every file is its makers'; nothing is unpickled before."""
    from torchvision.datasets.utils import check_integrity

    place = Path(options.folder, loader.base_folder)
    meta = (loader.meta["filename"], loader.meta["md5"])
    wrong = [
        str(place / name)
        for name, md5 in (*loader.train_list, *loader.test_list, meta)
        if not check_integrity(place / name, md5)
    ]
    if wrong:
        raise DataError(
            f"{', '.join(wrong)}: not the file that the makers of {options.name} published (by its "
            "md5), so it is not opened: get it again, or remove it and set download: true"
        )


def _read(loader: Any, options: Options, part: str) -> Any:
    """Return a part as torchvision reads it. With `download`, it checks md5 before it unpickles."""
    with warnings.catch_warnings():
        # CIFAR was pickled by a NumPy of 2009, which versions 2.4.0 to 2.4.4 complain about.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        try:
            return loader(options.folder, train=part == "train", download=options.download)
        except (RuntimeError, OSError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise DataError(
                f"{options.name}: torchvision cannot read its {part} files in "
                f"{Path(options.folder, FILES[options.name][0])}: "
                f"{type(error).__name__}: {error}"
            ) from None


def _images(data: Any) -> np.ndarray:
    """Return (N, C, H, W) from torchvision's (N, H, W) tensor or (N, H, W, C) array."""
    return data.numpy()[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
