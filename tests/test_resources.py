"""Jobs ask for enough for what was measured, more for more, and never end in an error."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cobaye import kinds, recipes
from cobaye.data.datasets import _folders
from cobaye.planning import group_resources, network_costs, resources
from cobaye.recipes.study import Dataset
from tests.conftest import ROOT

LINEAR, RESNET = recipes.Kind("linear", {}), recipes.Kind("resnet-small", {"features": 256})
RESNET50 = recipes.Kind("torchvision", {"model": "resnet50"})
GLYPHS = Dataset(
    "glyphs",
    recipes.Kind("glyphs", {"classes": 200, "train": 60, "val": 20, "test": 50, "size": 32}),
    shards=1,
)
CACHING = recipes.Caching(64, "float32", "float32")
IMAGENET = resources.Sizes({"train": 1_281_167, "val": 25_000, "test": 25_000}, (2048,), 4, 1000)


def optimizer(epochs=90, batch_size=256):
    sgd, constant = recipes.Kind("sgd", {"momentum": 0.9}), recipes.Kind("constant", {})
    return recipes.Optimizer(sgd, 0.1, constant, batch_size, epochs, "none")


def scaled(sizes, factor):
    return dataclasses.replace(
        sizes, images={split: factor * count for split, count in sizes.images.items()}
    )


def write(path: Path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_sizes_by_options_then_by_manifest(tmp_path):
    before = resources.of_dataset(GLYPHS, tmp_path)
    assert before.images == {"train": 12_000, "val": 4_000, "test": 10_000}
    assert (before.shape, before.classes) == ((1, 32, 32), 200)
    info = {"form": "images", "shape": [3, 8, 8], "classes": 7}
    info["images"] = {"train": 5, "val": 2, "test": 3}
    path = tmp_path / "resources/datasets/glyphs/manifest.json"
    write(path, {"info": info, "files": {}})
    after = resources.of_dataset(GLYPHS, tmp_path)
    assert after == resources.Sizes(info["images"], (3, 8, 8), 1, 7)
    assert after.bytes("train", "val") == 7 * 192


def test_sizes_of_features_by_the_network_then_by_what_is_cached(tmp_path):
    data = recipes.Data("glyphs", "backbone")
    images = resources.of_dataset(GLYPHS, tmp_path)
    assert resources.of_features(images, data, CACHING, RESNET, tmp_path).shape == (256,)
    assert resources.of_features(images, data, CACHING, RESNET50, tmp_path).shape == (2048,)
    half = dataclasses.replace(CACHING, storage="float16")
    shards = {f"shard-0{i}-of-02.npy": {"bytes": 20 + 50 * 512 * 2} for i in range(2)}
    manifest = {"info": {"rows": 100, "shards": list(shards)}, "files": shards}
    write(tmp_path / "results/features/glyphs/backbone/train/manifest.json", manifest)
    found = resources.of_features(images, data, half, RESNET, tmp_path)
    # The 128 bytes of a header are less than half a number per row.
    assert (found.shape, found.itemsize) == ((512,), 2)
    assert found.images == images.images


def ready_made(folder, suffix=".npy", **splits):
    """Return a dataset of the two files `a` (30 rows) and `b` (10), which need not be there."""
    parts = {name: str(folder / f"{name}{suffix}") for name in "ab"}
    labels = {name: str(folder / f"{name}-labels.npy") for name in "ab"}
    default = {"train": {"of": "a"}, "val": {"of": "b", "last": 4}, "test": {"of": "b"}}
    options = {"parts": parts, "labels": labels, "splits": default | splits}
    return Dataset("own", recipes.Kind("features", options), shards=1)


def test_ready_made_features_are_as_wide_as_their_file(tmp_path):
    dataset = ready_made(tmp_path)
    info = {"form": "features", "shape": [64], "classes": 4}
    info["images"] = {"train": 1000, "val": 10, "test": 10}
    files = {"train/features.npy": {"bytes": 1000 * 64 * 2}}
    write(tmp_path / "resources/datasets/own/manifest.json", {"info": info, "files": files})
    assert resources.of_dataset(dataset, tmp_path).itemsize == 2


def test_ready_made_features_are_as_many_as_their_heads_say(tmp_path):
    for name, rows in (("a", 30), ("b", 10)):
        np.save(tmp_path / f"{name}.npy", np.zeros((rows, 7), np.float16))
    sizes = resources.of_dataset(ready_made(tmp_path), tmp_path)
    assert (sizes.shape, sizes.itemsize) == ((7,), 2)
    # At most: all of `b` but for what the others claim.
    assert sizes.images == {"train": 30, "val": 4, "test": 10}
    drawn = ready_made(tmp_path, train={"of": ["a", "b"], "fraction": 0.25})
    assert resources.of_dataset(drawn, tmp_path).images["train"] == 10


def test_ready_made_features_without_a_head_are_as_many_as_their_bytes_hold(tmp_path):
    for name, size in (("a", 2048 * 30), ("b", 2048 * 9 + 1)):
        (tmp_path / f"{name}.npz").write_bytes(bytes(size))
    sizes = resources.of_dataset(ready_made(tmp_path, ".npz"), tmp_path)
    assert (sizes.images, sizes.shape, sizes.itemsize) == (
        {"train": 30, "val": 4, "test": 10},
        (512,),
        4,
    )
    (tmp_path / "b.npz").unlink()
    assert resources.of_dataset(ready_made(tmp_path, ".npz"), tmp_path).images["train"] == 50_000
    (tmp_path / "b.npy").write_bytes(b"no array")
    (tmp_path / "a.npy").write_bytes(bytes(2049))
    assert resources.of_dataset(ready_made(tmp_path), tmp_path).images["train"] == 2


@pytest.mark.parametrize("kind", ["image-folder", "image-folder-resized"])
def test_images_in_folders_are_counted_unless_they_are_many(tmp_path, monkeypatch, kind):
    for number, place in enumerate(["train/cat", "train/dog/old", "val/cat", "val/dog"], 1):
        (tmp_path / place).mkdir(parents=True)
        for image in range(10 * number):
            (tmp_path / place / f"{image}.png").touch()

    def sizes(folder, **splits):
        splits = {"train": {"of": "train"}, "val": {"of": "val", "last": 7}} | splits
        splits = {"test": {"of": ["val", "train"], "fraction": 0.1}} | splits
        options = {"folder": str(folder), "splits": splits}
        options |= {"size": 8} if kind == "image-folder-resized" else {}
        return resources.of_dataset(Dataset("own", recipes.Kind(kind, options), 1), tmp_path)

    assert sizes(tmp_path).images == {"test": 10, "train": 30, "val": 7}
    assert sizes(tmp_path).classes == 2
    assert sizes(tmp_path / "gone").images["train"] == 1_300_000
    monkeypatch.setattr(_folders, "COUNTED", 99)
    _folders._files_of.cache_clear()
    assert sizes(tmp_path).images["train"] == 1_300_000
    _folders._files_of.cache_clear()


NEW_KIND = """
from dataclasses import dataclass
FORM = "features"


@dataclass(frozen=True)
class Options:
    rows: int = 960
"""
SIZES = """
    def sizes(self):
        images = dict.fromkeys(("train", "val", "test"), self.rows)
        return {"images": images, "shape": (10,), "itemsize": 4, "classes": 10}
"""


@pytest.mark.parametrize(("text", "most"), [(NEW_KIND + SIZES, 1600), (NEW_KIND, 2100)])
def test_a_new_kind_of_dataset_asks_for_a_laptops_memory(tmp_path, monkeypatch, text, most):
    """960 × 10 numbers, stated by the kind; where it states nothing, 143 MB of features."""
    file = tmp_path / "data/datasets/moons.py"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    shutil.copytree(kinds.ROOT / "models/networks", tmp_path / "models/networks")
    monkeypatch.setattr(kinds, "ROOT", tmp_path)
    dataset = Dataset("moons", recipes.Kind("moons", {"rows": 960}), shards=1)
    sizes = resources.of_dataset(dataset, tmp_path)
    for needs in (
        resources.preparing(dataset, sizes),
        resources.training(LINEAR, optimizer(), sizes, threads=1),
        resources.evaluating(LINEAR, "every", 90, sizes),
    ):
        assert 1500 <= needs.megabytes <= most
        assert needs.minutes <= 30


def test_what_a_kind_states_of_its_preparation_is_asked_for():
    images = {"train": 1_300_000, "val": 50_000, "test": 50_000}
    folder = Dataset("photos", recipes.Kind("image-folder", {"folder": "x"}), shards=1)
    sizes = resources.of_dataset(folder, Path("nowhere"))
    assert (sizes.images, sizes.shape) == (images, (3, 224, 224))
    # 1.4 million names of 1 kB, each found in 1 ms; nothing of the images is read.
    assert resources.preparing(folder, sizes) == resources.needs(1.4e9, 1400.0)
    options = {"folder": "x", "size": 10}
    squares = Dataset("photos", recipes.Kind("image-folder-resized", options), shards=1)
    sizes = resources.of_dataset(squares, Path("nowhere"))
    written = 1_400_000 * 300
    # Beside the names, 1 kB of what was seen of each file.
    assert resources.preparing(squares, sizes) == resources.needs(2.8e9, 28_000 + written / 100e6)
    # Arrays held twice; half a millisecond per drawing.
    options = {**GLYPHS.kind.options, "size": 128}
    drawn = dataclasses.replace(GLYPHS, kind=recipes.Kind("glyphs", options))
    sizes = resources.of_dataset(drawn, Path("nowhere"))
    size = 26_000 * 128**2
    found = resources.preparing(drawn, sizes)
    assert found == resources.needs(2 * size, 13 + size / 100e6)
    # 1500 MB, and 1.2 times 852 MB.
    assert found.megabytes == 2600


def test_torchvisions_splits_are_of_its_parts():
    splits = {"train": {"of": "train"}, "val": {"of": ["train", "test"], "fraction": 0.1}}
    options = {"name": "CIFAR10", "splits": {**splits, "test": {"of": "test", "last": 500}}}
    kind = recipes.Kind("torchvision", options)
    sizes = resources.of_dataset(Dataset("cifar", kind, shards=1), Path("nowhere"))
    images = {"train": 50_000, "val": 6_000, "test": 500}
    assert sizes == resources.Sizes(images, (3, 32, 32), 1, 10)


def test_an_epoch_takes_its_operations_and_its_batches():
    """4·N·D·K operations at 100e9 per second, and 0.2 ms for each of N / 10 batches; a checkpoint
    takes a second.
    """
    sizes = resources.Sizes(dict.fromkeys(("train", "val"), 10**6), (10,), 4, 10)
    epoch = 4 * 10**8 / 100e9 + 10**5 * 2e-4
    read = 2 * 10**6 * 40 / 100e6
    found = resources.training(LINEAR, optimizer(50, batch_size=10), sizes, threads=1)
    assert found == resources.needs(2 * 40e6 + 6 * 4 * 100, 50 * (epoch + 1) + read)
    # 300 s at the start, and three times 1,050 s.
    assert found.minutes == 60
    perceptron = recipes.Kind("perceptron", {})
    assert resources.training(perceptron, optimizer(50, 10), sizes, threads=1) == found


def test_a_networks_cost_is_its_kinds_or_a_resnet_50s():
    pixels = 100
    small, vgg16 = (recipes.Kind(kind, {"width": 4.0}) for kind in ("resnet-small", "vgg16"))
    assert network_costs.seconds(small, pixels) == pytest.approx(100 * 0.6e-6 * 8)
    assert network_costs.held(small, pixels) == 100 * 1950 * 4
    assert network_costs.seconds(vgg16, pixels) == pytest.approx(100 * 12e-6 * 8)
    assert network_costs.held(vgg16, pixels, forward=True) == 100 * 700 * 4
    assert network_costs.seconds(RESNET50, pixels) == pytest.approx(100 * 3.1e-6)
    assert network_costs.held(RESNET50, pixels, forward=True) == 100 * 520


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"info": {}}', '{"info": {"form": 1}}']
)
def test_a_damaged_manifest_is_left_to_the_job(tmp_path, content):
    path = tmp_path / "resources/datasets/glyphs/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert resources.of_dataset(GLYPHS, tmp_path) == resources.of_dataset(GLYPHS, tmp_path / "no")


def test_imagenet_asks_for_what_it_takes():
    """10.5 GB of features held; 4·N·D·K operations per epoch, 2 hours at 129e9 per second."""
    needs = resources.training(LINEAR, optimizer(), IMAGENET, threads=1)
    assert 10_500 * 1.1 < needs.megabytes < 20_000
    assert 120 * 2 < needs.minutes < 24 * 60
    both = [resources.evaluating(LINEAR, epochs, 90, IMAGENET) for epochs in ("every", "last")]
    assert both[0].minutes > 5 * both[1].minutes
    assert both[0].megabytes == both[1].megabytes > 11_000


def test_evaluation_asks_for_the_logits_of_val_twice():
    """A list of blocks and their whole; `torch.cat` holds both."""
    without = dataclasses.replace(IMAGENET, images={**IMAGENET.images, "val": 0})
    more = (
        resources.evaluating(LINEAR, "last", 90, IMAGENET).megabytes
        - resources.evaluating(LINEAR, "last", 90, without).megabytes
    )
    logits, inputs = 4 * IMAGENET.classes, IMAGENET.values * IMAGENET.itemsize
    assert more >= 1.2 * (2 * logits + inputs) * IMAGENET.images["val"] / 1e6 - 100


def test_the_default_studies_ask_for_little():
    """Measured: every job under 750 MB and half a minute on an idle machine."""
    images = resources.of_dataset(GLYPHS, Path("nowhere"))
    features = dataclasses.replace(images, shape=(256,), itemsize=4)
    for needs in (
        resources.preparing(GLYPHS, images),
        resources.caching(CACHING, RESNET, images, shards=1, threads=1),
        resources.training(RESNET, optimizer(epochs=10, batch_size=128), images, threads=2),
        resources.training(LINEAR, optimizer(), features, threads=1),
        resources.training(LINEAR, dataclasses.replace(optimizer(), batch_size=None), features, 1),
        resources.evaluating(LINEAR, "every", 90, features),
        resources.tabulating(11, features),
    ):
        assert 1500 <= needs.megabytes <= 2500
        assert 5 <= needs.minutes <= 15


def test_memory_grows_with_what_is_held_and_time_with_what_is_done():
    images = resources.Sizes({"train": 10**6, "val": 10**4, "test": 10**4}, (3, 64, 64), 1, 100)
    for sizes, model in itertools.product((IMAGENET, images), (LINEAR, RESNET)):
        one = resources.training(model, optimizer(), sizes, threads=1)
        rows = resources.training(model, optimizer(), scaled(sizes, 3), threads=1)
        epochs = resources.training(model, optimizer(epochs=270), sizes, threads=1)
        threads = resources.training(model, optimizer(), sizes, threads=4)
        assert rows.megabytes > 2 * one.megabytes
        assert rows.minutes > 2 * one.minutes
        assert epochs.megabytes == one.megabytes == threads.megabytes
        assert epochs.minutes > 2 * one.minutes
        assert one.minutes / 4 < threads.minutes < one.minutes


def test_vgg16_asks_for_what_it_takes():
    """Measured on one core: 12.2 ms per image, 3.4 MB per image of a batch; a tenth when narrow."""
    sizes = resources.Sizes({"train": 40_000, "val": 10_000, "test": 10_000}, (3, 32, 32), 1, 10)
    options = {"width": 1.0, "initialization": "glorot", "resize": None}
    wide = recipes.Kind("vgg16", options)
    needs = resources.training(wide, optimizer(epochs=50), sizes, threads=1)
    assert 50 * 40_000 * 0.0122 < 60 * needs.minutes < 10 * 50 * 40_000 * 0.0122
    small = resources.training(wide, optimizer(epochs=50, batch_size=128), sizes, threads=1)
    assert 128 * 3.4 < needs.megabytes - small.megabytes < 2 * 128 * 3.4
    narrow = recipes.Kind("vgg16", {**options, "width": 0.25})
    less = resources.training(narrow, optimizer(epochs=50), sizes, threads=1)
    assert 50 * 40_000 * 0.0013 < 60 * less.minutes < 60 * needs.minutes / 5
    assert less.megabytes < needs.megabytes


def test_a_shard_holds_one_batch_and_what_was_seen_of_each_file():
    sizes = dataclasses.replace(IMAGENET, shape=resources.SQUARE, itemsize=1)
    one = resources.caching(CACHING, RESNET50, sizes, shards=16, threads=1)
    more = resources.caching(CACHING, RESNET50, scaled(sizes, 5), 16, 1)
    assert abs(more.megabytes - one.megabytes - 1.2 * 4 * 1_281_167 / 16 * 1e-3) <= 100
    arrays = dataclasses.replace(IMAGENET, shape=(3, 32, 32), itemsize=1)
    held = {resources.caching(CACHING, RESNET50, scaled(arrays, n), 16, 1)[0] for n in (1, 5)}
    assert len(held) == 1
    # 1,281,167 / 16 images at 0.046 s.
    assert one.minutes > 1_281_167 / 16 * 0.046 / 60
    assert (
        resources.caching(CACHING, RESNET50, sizes, shards=4, threads=1).minutes > 3 * one.minutes
    )
    workers = resources.caching(CACHING, RESNET50, sizes, shards=16, threads=8)
    assert workers.megabytes > one.megabytes + 8 * 600
    assert workers.minutes < one.minutes


def test_every_dataset_kind_has_sizes():
    """Of the shipped datasets, none prepared: no kind's options raise."""
    from cobaye import figures
    from cobaye.config import Config

    config = Config({"studies": ["glyphs"]}, ROOT / "config", figures.names())
    for dataset in config.datasets.values():
        sizes = resources.of_dataset(dataset, Path("nowhere"))
        assert min(sizes.images.values()) > 0
        assert resources.preparing(dataset, sizes).megabytes >= 1500


def test_runs_trained_together_hold_their_parameters_seven_times():
    """Ten networks of 784 × 5,000 × 10 parameters: 40 M, 4 bytes each, and the batches held."""
    images = resources.Sizes({"train": 1000, "val": 0, "test": 0}, (1, 28, 28), 1, 10)
    models = [recipes.Kind("mlp", {"widths": (5000,)})] * 10
    needs = group_resources.training(models, optimizer(epochs=1, batch_size=100), images, 1)
    parameters = 10 * (785 * 5000 + 5001 * 10)
    held = 1000 * 784 + 4 * (7 * parameters + 2 * 8_000_000)
    assert needs.megabytes == pytest.approx((1500e6 + 1.2 * held) / 1e6, abs=100)
