"""Tiny archives in the true on-disk formats of the datasets that people download, and their use."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cobaye import kinds
from cobaye.config import schema
from cobaye.data import datasets
from cobaye.storage import manifests, paths
from tests.jobs import job


def prepare(root: Path, kind: str, **options: Any) -> tuple[manifests.Manifest, Path]:
    """Prepare a dataset as config and rule would; return its checked manifest and its folder."""
    given = schema.checked_kind("datasets", kind, options, Path("datasets.yaml"), "d")
    if "download" in given.options:
        told = job("fetch_dataset", {"dataset": "d"}, given, root, code="c0de")
        datasets.fetch_dataset(told).unlink()  # temporary, says the rule
    path = datasets.prepare_dataset(
        job("prepare_dataset", {"dataset": "d"}, given, root, code="c0de")
    )
    manifest = datasets.manifest("d", root)
    for name in manifest.files:
        manifest.check(path.parent, name)
    return manifest, path.parent


def arrays(folder: Path, split: str, name: str = "images") -> tuple[np.ndarray, np.ndarray]:
    """Return a prepared split's inputs and labels."""
    return np.load(folder / split / f"{name}.npy"), np.load(folder / split / "labels.npy")


def form(kind: str) -> str:
    """Return what a kind says that it gives, as the config reads it."""
    return kinds.constant("datasets", kind, "FORM", "images")


class Planted:
    """Unpickling it makes a file: proof that something was executed."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


def old_pickle(value: Any) -> bytes:
    """Pickle as Python 2 and the NumPy of 2009 did, of whom CIFAR's archives are."""
    return b"\x80\x02" + _old(value) + b"."


def _old(value: Any) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_old(key) + _old(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_old, value)) + b"e"
    if isinstance(value, str):
        return b"T" + struct.pack("<I", len(value)) + value.encode("latin1")
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    assert value.dtype == np.uint8
    shape = b"(" + b"".join(map(_old, value.shape)) + b"t"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    unknown = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * unknown + b"K\x00tb"
    data = b"T" + struct.pack("<I", value.size) + value.tobytes()
    return empty + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def cifar_images(count: int, seed: int) -> np.ndarray:
    """Return (count, 3, 32, 32) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def write_cifar10(folder: Path, per_batch: int = 4) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write cifar-10-batches-py/; return part → images and labels, as they should be read."""
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = {}
    for number, name in enumerate(names):
        images = cifar_images(per_batch, number)
        labels = [(number * per_batch + i) % 10 for i in range(per_batch)]
        batches[name] = (images, labels)
        content = {
            "batch_label": name,
            "labels": labels,
            "data": images.reshape(per_batch, -1),
            "filenames": [f"{name}-{i}.png" for i in range(per_batch)],
        }
        (place / name).write_bytes(old_pickle(content))
    meta = {"num_cases_per_batch": per_batch, "label_names": CIFAR10, "num_vis": 3072}
    (place / "batches.meta").write_bytes(old_pickle(meta))
    train = [batches[name] for name in names[:5]]
    return {
        "train": (np.concatenate([x for x, _ in train]), [y for _, ys in train for y in ys]),
        "test": batches["test_batch"],
    }


CIFAR10 = [f"class {label}" for label in range(10)]
FINE = [f"fine {label:02d}" for label in range(100)]


def write_cifar100(folder: Path, count: int = 200) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Write cifar-100-python/; return part → images and fine labels."""
    place = folder / "cifar-100-python"
    place.mkdir(parents=True)
    found = {}
    for seed, part in enumerate(("train", "test")):
        images, fine = cifar_images(count, seed), [i % 100 for i in range(count)]
        found[part] = (images, fine)
        content = {
            "filenames": [f"{part}-{i}.png" for i in range(count)],
            "batch_label": f"{part}ing batch 1 of 1",
            "fine_labels": fine,
            "coarse_labels": [label // 5 for label in fine],
            "data": images.reshape(count, -1),
        }
        (place / part).write_bytes(old_pickle(content))
    coarse = [f"coarse {label}" for label in range(20)]
    meta = {"fine_label_names": FINE, "coarse_label_names": coarse}
    (place / "meta").write_bytes(old_pickle(meta))
    return found


def allow(monkeypatch: Any, loader: Any, folder: Path) -> None:
    """Have torchvision take the CIFAR files in a folder for their makers'."""

    def md5(name: str) -> str:
        return hashlib.md5((folder / loader.base_folder / name).read_bytes()).hexdigest()

    for part in ("train_list", "test_list"):
        monkeypatch.setattr(loader, part, [[name, md5(name)] for name, _ in getattr(loader, part)])
    meta = {**loader.meta, "md5": md5(loader.meta["filename"])}
    monkeypatch.setattr(loader, "meta", meta)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write MNIST's format: 0, 0, type 8 (uint8), rank, big-endian sizes, data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def write_mnist(
    folder: Path, name: str = "MNIST", train: int = 60, test: int = 10
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write <name>/raw/ as it lies after unpacking; return part → images and labels."""
    generator = np.random.default_rng(0)
    found = {}
    for part, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        images = generator.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
        labels = np.arange(count) % 10
        write_idx(folder / name / "raw" / f"{prefix}-images-idx3-ubyte", images[:, 0])
        write_idx(folder / name / "raw" / f"{prefix}-labels-idx1-ubyte", labels)
        found[part] = (images, labels)
    return found


def write_blots(root: Path, name: str, shape: tuple[int, ...], per_class: int = 12) -> None:
    """Prepare a dataset of ten blurred blots, each at its own place, with noise; a fifth is lit."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: shape[1], : shape[2]]
    parts = {}
    for split in paths.SPLITS:
        labels = np.arange(10 * per_class) % 10
        angle = 2 * np.pi * labels[:, None, None] / 10
        far = (y - 14 - 7 * np.sin(angle)) ** 2 + (x - 14 - 7 * np.cos(angle)) ** 2
        images = 255 * np.exp(-far / 40) + generator.normal(0, 30, far.shape)
        images = np.clip(images, 0, 255).astype(np.uint8)[:, None]
        parts[split] = (images.repeat(shape[0], axis=1), labels)
    folder = root / paths.DATASET.format(dataset=name)
    made = datasets.write(datasets.Prepared([{"name": str(i)} for i in range(10)], parts), folder)
    counts = dict.fromkeys(paths.SPLITS, 10 * per_class)
    info = {"classes": 10, "shape": list(shape), "form": "images", "images": counts}
    manifests.Manifest("prepare_dataset", {"dataset": name}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )


def write_tree(folder: Path, parts: dict[str, dict[str, int]]) -> None:
    """Write part → class → that many JPEGs; the grey of each says which it is (`grey_of`)."""
    for part, classes in parts.items():
        for label, (name, count) in enumerate(sorted(classes.items())):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                grey = Image.new("RGB", (20, 14), (grey_of(label, number),) * 3)
                grey.save(place / f"{number:03d}.jpg", quality=95)


def grey_of(label: int, number: int) -> int:
    """Return the grey of an image of `write_tree`."""
    return 40 * label + 2 * number


def break_jpeg(path: Path) -> None:
    """Cut a JPEG off after its header."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
