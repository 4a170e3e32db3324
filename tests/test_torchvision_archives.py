"""MNIST and CIFAR are read from the files that people download, and no pickle in them is run."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torchvision

from cobaye.data import datasets
from cobaye.data.datasets import torchvision as kind
from cobaye.errors import ConfigError, DataError
from tests import archives, host
from tests.archives import arrays, prepare

LAST_TEN = {
    "train": {"of": "train"},
    "val": {"of": "train", "last": 10},
    "test": {"of": "test"},
}
# Of both parts: the test batch of the tiny CIFAR-10 holds labels that train lacks.
POOLED = {
    "train": {"of": ["train", "test"]},
    "val": {"of": ["train", "test"], "fraction": 0.1},
    "test": {"of": ["train", "test"], "fraction": 0.2},
}


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "downloads"


def written(root):
    folder = root / "resources"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_idx_files(tmp_path, downloads, name):
    truth = archives.write_mnist(downloads, name)
    manifest, folder = prepare(
        tmp_path, "torchvision", name=name, folder=str(downloads), splits=LAST_TEN
    )
    assert manifest.info == {
        "form": "images",
        "classes": 10,
        "shape": [1, 28, 28],
        "images": {"train": 50, "val": 10, "test": 10},
    }
    images, labels = truth["train"]
    for split, rows in (("train", slice(0, 50)), ("val", slice(50, 60))):
        found, found_labels = arrays(folder, split)
        assert np.array_equal(found, images[rows])
        assert np.array_equal(found_labels, labels[rows])
    names = datasets.class_names(folder / "classes.json")
    assert names[:2] == (["0", "1"] if name == "MNIST" else ["T-shirt/top", "Trouser"])


def test_cifar10_batches(tmp_path, downloads, monkeypatch):
    truth = archives.write_cifar10(downloads)
    archives.allow(monkeypatch, torchvision.datasets.CIFAR10, downloads)
    manifest, folder = prepare(
        tmp_path, "torchvision", name="CIFAR10", folder=str(downloads), splits=LAST_TEN
    )
    assert manifest.info["shape"] == [3, 32, 32]
    assert manifest.info["images"] == {"train": 10, "val": 10, "test": 4}
    images, labels = truth["train"]
    for split, rows in (("train", slice(0, 10)), ("val", slice(10, 20))):
        found, found_labels = arrays(folder, split)
        assert np.array_equal(found, images[rows])
        assert found_labels.tolist() == labels[rows]
    assert np.array_equal(arrays(folder, "test")[0], truth["test"][0])
    assert datasets.class_names(folder / "classes.json") == archives.CIFAR10


def test_cifar100_has_its_fine_labels(tmp_path, downloads, monkeypatch):
    truth = archives.write_cifar100(downloads)
    archives.allow(monkeypatch, torchvision.datasets.CIFAR100, downloads)
    _, folder = prepare(
        tmp_path, "torchvision", name="CIFAR100", folder=str(downloads), splits=LAST_TEN
    )
    images, labels = arrays(folder, "test")
    assert np.array_equal(images, truth["test"][0])
    assert labels.tolist() == truth["test"][1]
    assert datasets.class_names(folder / "classes.json") == archives.FINE


def test_pooled_parts_keep_image_and_label_together(tmp_path, downloads, monkeypatch):
    truth = archives.write_cifar10(downloads, per_batch=20)
    archives.allow(monkeypatch, torchvision.datasets.CIFAR10, downloads)
    _, folder = prepare(
        tmp_path, "torchvision", name="CIFAR10", folder=str(downloads), splits=POOLED
    )
    label_of = {
        image.tobytes(): label
        for images, labels in truth.values()
        for image, label in zip(images, labels, strict=True)
    }
    seen = [
        (image.tobytes(), label)
        for split in POOLED
        for image, label in zip(*arrays(folder, split), strict=True)
    ]
    assert dict(seen) == label_of
    assert len(seen) == len(label_of)


def test_archives_that_lie_there_are_unpacked_without_a_network(tmp_path, downloads, monkeypatch):
    archives.write_cifar10(downloads)
    loader = torchvision.datasets.CIFAR10
    archives.allow(monkeypatch, loader, downloads)
    monkeypatch.setattr(loader, "tgz_md5", host.pack_cifar(loader, downloads, downloads))
    monkeypatch.chdir(tmp_path)
    options = {"name": "CIFAR10", "folder": "downloads", "splits": LAST_TEN}
    with pytest.raises(DataError, match="set download: true to have the archive that lies there"):
        prepare(tmp_path, "torchvision", download=False, **options)
    manifest, _ = prepare(tmp_path, "torchvision", **options)
    assert manifest.info["images"]["train"] == 10


def test_mnist_as_it_is_published_is_unpacked(tmp_path, downloads, monkeypatch):
    archives.write_mnist(downloads)
    raw = downloads / "MNIST/raw"
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", host.pack_mnist(raw, raw))
    monkeypatch.chdir(tmp_path)
    options = {"name": "MNIST", "folder": "downloads", "splits": LAST_TEN}
    with pytest.raises(DataError, match="set download: true to have the archive that lies there"):
        prepare(tmp_path, "torchvision", download=False, **options)
    manifest, _ = prepare(tmp_path, "torchvision", **options)
    assert manifest.info["images"]["train"] == 50
    whole = downloads / "MNIST/raw/train-images-idx3-ubyte"
    data = whole.read_bytes()
    for left in (0, 3, 10, len(data) - 1):  # of a copy that was broken off
        whole.write_bytes(data[:left])
        with pytest.raises(DataError, match=f"{whole.name}: it is not as long as its head says"):
            prepare(tmp_path, "torchvision", **options)
        whole.unlink()  # the cure that the message names
        prepare(tmp_path, "torchvision", **options)
        assert whole.read_bytes() == data


@pytest.mark.parametrize("folder", ["/data", "../data", "a/../../data"])
def test_downloads_stay_in_the_project(tmp_path, folder):
    with pytest.raises(DataError, match="downloads stay in the project: a relative path without"):
        prepare(tmp_path, "torchvision", name="MNIST", folder=folder)


@pytest.mark.parametrize("name", sorted(kind.FILES))
def test_missing_files_are_one_sentence_and_no_import(downloads, name):
    code = (
        "import sys; from cobaye.data.datasets import torchvision as kind\n"
        f"print(*kind.problems(kind.Options({name!r}, {str(downloads)!r}, False)), sep='\\n')\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (message,) = done.stdout.splitlines()
    inside, _ = kind.FILES[name]
    assert f"{name} is not in {downloads} ({downloads / inside}/ is missing)" in message
    assert f"put {inside}/ there, or set folder: to where it lies, or set download: true" in message


def test_a_single_missing_file_is_named(downloads):
    archives.write_mnist(downloads)
    gone = downloads / "MNIST/raw/t10k-labels-idx1-ubyte"
    gone.unlink()
    (message,) = kind.problems(kind.Options("MNIST", str(downloads)))
    assert f"({gone} is missing)" in message


CIFAR_FILES = ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"]


@pytest.mark.parametrize("name", CIFAR_FILES)
def test_a_planted_cifar_pickle_is_not_opened(tmp_path, downloads, monkeypatch, name):
    archives.write_cifar10(downloads)
    archives.allow(monkeypatch, torchvision.datasets.CIFAR10, downloads)
    path, witness = downloads / "cifar-10-batches-py" / name, tmp_path / "executed"
    path.write_bytes(pickle.dumps(archives.Planted(witness)))
    monkeypatch.chdir(tmp_path)
    options = {"name": "CIFAR10", "folder": "downloads", "splits": LAST_TEN}
    for download in (False, True):
        with pytest.raises(DataError, match=rf"{name}: it is not the file that the makers of"):
            prepare(tmp_path, "torchvision", download=download, **options)
    assert not witness.exists()
    assert written(tmp_path) == []


def test_planted_mnist_pickles_are_not_opened(tmp_path, downloads):
    """Neither under the names of the raw files nor where older versions of torchvision look."""
    truth = archives.write_mnist(downloads)
    witness = tmp_path / "executed"
    planted = pickle.dumps(archives.Planted(witness))
    (downloads / "MNIST/processed").mkdir()
    for name in ("training.pt", "test.pt"):
        (downloads / "MNIST/processed" / name).write_bytes(planted)
    options = {"name": "MNIST", "folder": str(downloads), "splits": LAST_TEN}
    _, folder = prepare(tmp_path, "torchvision", **options)
    assert np.array_equal(arrays(folder, "test")[0], truth["test"][0])
    for file in (downloads / "MNIST/raw").iterdir():
        content = file.read_bytes()
        file.write_bytes(planted)
        with pytest.raises(DataError, match=f"{file.name}: it is not as long as its head says"):
            prepare(tmp_path, "torchvision", **options)
        file.write_bytes(content)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: (raw / "train-images-idx3-ubyte").write_bytes(b""), "as its head says"),
        (
            lambda raw: archives.write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(9)),
            "its test files hold 10 images but 9 labels",
        ),
        (
            lambda raw: archives.write_idx(raw / "train-labels-idx1-ubyte", np.full(60, 10)),
            "split 'train': labels from 10 to 10, expected 0 to 9",
        ),
        (
            lambda raw: archives.write_idx(raw / "train-labels-idx1-ubyte", np.arange(60) % 9),
            r"split 'train' has nothing of 1 of the 10 classes: '9' \(label 9\)",
        ),
    ],
    ids=["empty file", "mismatched rows", "label out of range", "class without images"],
)
def test_damaged_mnist_is_refused_and_nothing_written(tmp_path, downloads, damage, said):
    archives.write_mnist(downloads)
    damage(downloads / "MNIST/raw")
    with pytest.raises(DataError, match=said):
        prepare(tmp_path, "torchvision", name="MNIST", folder=str(downloads), splits=LAST_TEN)
    assert written(tmp_path) == []


def test_wrong_split_sizes_are_refused(tmp_path, downloads):
    archives.write_mnist(downloads)
    with pytest.raises(DataError, match=r"splits\.val\.last: 10000 is more than the 60 images"):
        prepare(tmp_path, "torchvision", name="MNIST", folder=str(downloads))
    splits = {**LAST_TEN, "val": {"of": "tets", "last": 3}}
    with pytest.raises(ConfigError, match=r"d: splits\.val\.of: there is no part 'tets'"):
        prepare(tmp_path, "torchvision", name="MNIST", folder=str(downloads), splits=splits)
    assert written(tmp_path) == []
