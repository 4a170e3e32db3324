"""The archives of torchvision's datasets: downloaded by its functions, checked, and unpacked.

Addresses and md5 are torchvision's. Nothing that lies there is written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cobaye.errors import DataError
from cobaye.storage import downloads, files

IDX = tuple(
    f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
# Where torchvision looks inside its folder, and for which files.
FILES = {
    "MNIST": ("MNIST/raw", tuple(f"{name}-ubyte" for name in IDX)),
    "FashionMNIST": ("FashionMNIST/raw", tuple(f"{name}-ubyte" for name in IDX)),
    "CIFAR10": (
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
    ),
    "CIFAR100": ("cifar-100-python", ("train", "test", "meta")),
}
# Archives of a whole folder, by name; those of the others hold a file each.
PACKED = {"CIFAR10": "cifar-10-python.tar.gz", "CIFAR100": "cifar-100-python.tar.gz"}
# Bytes of a dataset's archives, as its publisher's server states them.
BYTES = {
    "MNIST": 11_594_722,
    "FashionMNIST": 30_878_645,
    "CIFAR10": 170_498_071,
    "CIFAR100": 169_001_437,
}


def held(name: str, folder: str) -> dict[Path, list[Path]]:
    """Return each archive of a dataset with the files that it holds, where they belong."""
    inside, names = FILES[name]
    unpacked = [Path(folder, inside, each) for each in names]
    if name in PACKED:
        return {Path(folder, PACKED[name]): unpacked}
    return {file.with_name(f"{file.name}.gz"): [file] for file in unpacked}


def missing(name: str, folder: str) -> list[Path]:
    """Return the unpacked files that are not there."""
    every = [file for files_of in held(name, folder).values() for file in files_of]
    return [file for file in every if not file.is_file()]


def lie_there(name: str, folder: str) -> bool:
    """Tell whether all that is missing is there, packed."""
    lacking = set(missing(name, folder))
    return all(
        archive.is_file() for archive, inside in held(name, folder).items() if lacking & {*inside}
    )


def to_write(name: str, folder: str, unpacked: int) -> int:
    """Return the bytes that `fetch` would write. unpacked: those of all unpacked files."""
    if not missing(name, folder):
        return 0
    there = [each for item in held(name, folder).items() for each in (item[0], *item[1])]
    return max(0, BYTES[name] + unpacked - sum(os.path.getsize(p) for p in there if p.is_file()))


def fetch(name: str, folder: str) -> None:
    """Download and unpack what is missing of a dataset.

    Raises DataError for what cannot be downloaded, and for an archive there that is damaged.
    """
    published = dict(_published(_loader(name)))
    needed = {
        archive: inside
        for archive, inside in held(name, folder).items()
        if not all(file.is_file() for file in inside)
    }
    for archive, inside in needed.items():
        _fetch(archive, *published[archive.name], [each for each in needed if each != archive])
        _unpack(archive, inside)


def _loader(name: str) -> Any:
    import torchvision

    return getattr(torchvision.datasets, name)


def _published(loader: Any) -> Iterator[tuple[str, tuple[str, Sequence[str]]]]:
    """Yield the name of each archive of a dataset, with its md5 and its addresses."""
    if hasattr(loader, "resources"):
        for file, md5 in loader.resources:
            yield file, (md5, [f"{mirror}{file}" for mirror in loader.mirrors])
    else:
        yield loader.filename, (loader.tgz_md5, [loader.url])


def _fetch(archive: Path, md5: str, urls: Sequence[str], others: Sequence[Path]) -> None:
    """Download an archive unless it is there; raises DataError for a damaged one.

    others: those beside it that are needed too.
    """
    from torchvision.datasets import utils

    if not archive.is_file():
        lacking = [each.name for each in others if not each.is_file()]
        beside = f" and, beside it, {', '.join(lacking)}" if lacking else ""
        cure = (
            f"put it at {archive}{beside}; or set folder: in datasets.yaml to where the unpacked "
            "files lie. Then run the same command again"
        )
        downloads.download(
            urls, archive, lambda url, to: utils.download_url(url, to.parent, to.name, md5), cure
        )
    elif not utils.check_integrity(archive, md5):
        raise _damage([archive], "it is not the published file, by its md5")


def _unpack(archive: Path, inside: Sequence[Path]) -> None:
    """Unpack those files of an archive that are not there."""
    from torchvision.datasets import utils

    with downloads.staging(inside[0]) as staged:
        # Another process may have unpacked it while this one waited.
        if missing := [file for file in inside if not file.is_file()]:
            print(f"Unpacking {archive}", flush=True)
            utils.extract_archive(str(archive), str(staged))
            found = {file.name: file for file in staged.rglob("*") if file.is_file()}
            for file in missing:
                files.publish_file(found[file.name], file)


def refuse_damaged(name: str, folder: str) -> None:
    """Raise DataError unless every unpacked file is whole, or its makers'; none is unpickled."""
    inside, names = FILES[name]
    place = Path(folder, inside)
    if name not in PACKED:
        cut = [place / each for each in names if not _is_whole(place / each)]
        if cut:
            raise _damage(cut, "it is not as long as its head says")
        return
    from torchvision.datasets.utils import check_integrity

    loader = _loader(name)
    meta = (loader.meta["filename"], loader.meta["md5"])
    md5 = dict([*loader.train_list, *loader.test_list, meta])
    wrong = [place / each for each in md5 if not check_integrity(place / each, md5[each])]
    if wrong:
        reason = f"it is not the file that the makers of {name} published, by its md5, so it is "
        raise _damage(wrong, reason + "not opened")


def _damage(paths: Sequence[Path], reason: str) -> DataError:
    them = "\n".join(f"{path}: {reason}" for path in paths)
    return DataError(
        f"{them}\nPut the right file there, or remove it and, with download: true, "
        "run the same command again"
    )


def _is_whole(path: Path) -> bool:
    """Tell whether a file is as long as its head says: 0, 0, type, rank, sizes, data in bytes."""
    with open(path, "rb") as file:
        head = file.read(4)
        sizes = file.read(4 * head[3]) if len(head) == 4 else b""
    shape = np.frombuffer(sizes[: len(sizes) // 4 * 4], ">i4").astype(np.int64)
    return len(head) == 4 and path.stat().st_size == 4 + 4 * head[3] + int(np.prod(shape))
