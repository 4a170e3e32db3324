"""Cached features are what the backbone's head sees, in order, however they are sharded."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from cobaye import recipes
from cobaye.data import datasets, splits
from cobaye.data.normalization import normalization_of, without_normalization
from cobaye.errors import CorruptFile, DataError, StaleFile
from cobaye.features import caching, gathering
from cobaye.models import backbones, networks
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.storage.arrays import ArrayFile
from tests.jobs import job

MODEL = recipes.Kind("resnet-small", recipes.plain({}))
CACHING = recipes.Caching(batch_size=16, precision="float32", storage="float32")
IDENTITY = {"dataset": "d", "backbone": "b", "split": "train"}


def backbone_manifest(path, entry):
    recipe, files = {"model": recipes.plain(MODEL)}, {path.name: entry}
    manifests.Manifest(
        "prepare_backbone", {"backbone": "b"}, recipe, "", {}, files, {"resize": None}
    ).write(path.with_suffix(".json"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A dataset of 50 random images and a random backbone, as the rules would have left them."""
    root = tmp_path_factory.mktemp("features")
    generator = np.random.default_rng(0)
    counts = {"train": 50, "val": 7, "test": 9}
    data = datasets.Prepared(
        classes=[{"name": str(i)} for i in range(5)],
        splits={
            split: (
                generator.integers(0, 256, (n, 1, 16, 16), dtype=np.uint8),
                generator.integers(0, 5, n),
            )
            for split, n in counts.items()
        },
    )
    folder = root / paths.DATASET.format(dataset="d")
    made = datasets.write(data, folder)
    info = {"classes": 5, "shape": [1, 16, 16], "form": "images"}
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    images = torch.from_numpy(data.splits["train"][0])
    normalization = normalization_of(images, "global")
    network = networks.build(MODEL, (1, 16, 16), 5, seed=3)
    tensors = {**network.state_dict(), **normalization.tensors()}
    path = root / "resources/backbones/b.safetensors"
    entry = checkpoints.save(path, tensors)
    backbone_manifest(path, entry)
    logits = network.eval()(normalization(images)).detach().numpy()
    return root, logits, network


@pytest.fixture
def copy(prepared, tmp_path):
    shutil.copytree(prepared[0], tmp_path / "copy")
    return tmp_path / "copy"


def cache(root, shards, recipe=CACHING):
    for shard in range(shards):
        identity = {**IDENTITY, "shard": shard, "shards": shards}
        caching.cache_features(job("cache_features", identity, recipe, root))
    gathering.gather_features(job("gather_features", IDENTITY, {"shards": shards}, root))
    return splits.load(recipes.Data("d", "b"), "train", root)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_head_gives_the_backbones_own_logits(copy, prepared, shards):
    _, logits, network = prepared
    split = cache(copy, shards)
    assert split.inputs.shape == (50, network.head.in_features)
    assert split.inputs.dtype == torch.float32
    found = network.head(split.inputs).detach().numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)
    labels = np.load(copy / "resources/datasets/d/train/labels.npy")
    np.testing.assert_array_equal(split.labels, labels)


def test_float16_storage_is_close(copy):
    whole = cache(copy, 1)
    half = cache(copy, 1, dataclasses.replace(CACHING, storage="float16"))
    assert half.inputs.dtype == torch.float16
    torch.testing.assert_close(half.inputs.float(), whole.inputs, rtol=1e-3, atol=1e-3)


def test_shards_cover_every_row_once():
    for images in (0, 1, 50, 51):
        for shards in (1, 2, 7):
            rows = [caching.shard_rows(images, shard, shards) for shard in range(shards)]
            assert [row for part in rows for row in part] == list(range(images))
            assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_damaged_shard_is_refused_by_name(copy):
    cache(copy, 2)
    shard = copy / "results/features/d/b/train/shard-01-of-02.npy"
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptFile, match=r"shard-01-of-02\.npy: expected sha256"):
        splits.load(recipes.Data("d", "b"), "train", copy)
    with pytest.raises(CorruptFile, match=r"--forcerun .*shard-01-of-02\.json"):
        gathering.gather_features(job("gather_features", IDENTITY, {"shards": 2}, copy))


def test_exchanged_shards_are_refused(copy):
    cache(copy, 2)
    folder = copy / "results/features/d/b/train"
    first, second = (folder / f"shard-0{i}-of-02.npy" for i in range(2))
    spare = folder / "spare"
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    with pytest.raises(CorruptFile, match="shard-00-of-02"):
        splits.load(recipes.Data("d", "b"), "train", copy)


def test_infinite_features_stop_the_job_and_leave_nothing(copy):
    path = copy / "resources/backbones/b.safetensors"
    tensors = checkpoints.load(path)
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][0] = torch.nan
    entry = checkpoints.save(path, tensors)
    backbone_manifest(path, entry)
    with pytest.raises(DataError, match="not finite"):
        cache(copy, 1)
    assert list((copy / "results").rglob("*.npy")) == []


@pytest.mark.parametrize("how", ["global", "channel", "none"])
def test_normalisation_is_exact(how):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (40, 3, 5, 5), dtype=np.uint8)
    images[:, 1] //= 3
    found = normalization_of(torch.from_numpy(images), how)(torch.from_numpy(images)).numpy()
    scaled = images / 255
    axes = {"global": (0, 1, 2, 3), "channel": (0, 2, 3), "none": None}[how]
    if axes is None:
        expected = scaled
    else:
        mean, std = scaled.mean(axes, keepdims=True), scaled.std(axes, keepdims=True)
        expected = (scaled - mean) / std
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_constant_channel_is_centred():
    images = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    assert normalization_of(images, "channel")(images).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images, labels: (images[:0], labels[:0]), "'val' is empty"),
        (lambda images, labels: (images, labels + 5), "labels from"),
        (lambda images, labels: (images[1:], labels), "labels"),
    ],
)
def test_contradictory_data_are_refused(tmp_path, change, said):
    images, labels = np.zeros((10, 1, 2, 2), np.uint8), np.arange(10) % 5
    good = {"train": (images, labels), "test": (images, labels), "val": change(images, labels)}
    prepared = datasets.Prepared([{"name": str(i)} for i in range(5)], good)
    with pytest.raises(DataError, match=said):
        datasets.write(prepared, tmp_path)
    assert list(tmp_path.rglob("*")) == []


def reseal(path, **changes):
    """Change a manifest and seal it again, as a rerun of its stage would have."""
    content = files.read_json(path)
    del content["seal"]
    content |= changes
    files.write_json(path, {**content, "seal": files.digest(content)})


def test_shards_of_two_backbones_are_not_mixed(copy):
    cache(copy, 2)
    other = {"resources/backbones/b.json": "0" * 64}
    reseal(copy / "results/features/d/b/train/shard-01-of-02.json", inputs=other)
    with pytest.raises(StaleFile, match=r"shard-01-of-02\.json: made from another resources"):
        gathering.gather_features(job("gather_features", IDENTITY, {"shards": 2}, copy))


def test_shards_of_an_earlier_dataset_are_not_gathered(copy):
    cache(copy, 1)
    reseal(copy / "resources/datasets/d/manifest.json", code="newer")
    with pytest.raises(StaleFile, match=r"made from another resources/datasets/d/manifest\.json"):
        gathering.gather_features(job("gather_features", IDENTITY, {"shards": 1}, copy))


def test_more_shards_than_images_are_refused(copy):
    identity = {**IDENTITY, "split": "val", "shard": 0, "shards": 8}
    with pytest.raises(DataError, match="shards: 8 is more than the 7 images"):
        caching.cache_features(job("cache_features", identity, CACHING, copy))


def test_the_normalisation_moves_with_the_images(copy):
    """On a device of its own, the constants follow (the `meta` device stands in for a GPU)."""
    backbone = backbones.load("b", copy)
    network = backbones.Penultimate(MODEL, backbone.tensors, (1, 16, 16)).to("meta")
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8, device="meta")
    assert network(images).device.type == "meta"


def test_each_split_has_its_own_features_and_labels(copy, prepared):
    identity = {**IDENTITY, "split": "val"}
    caching.cache_features(
        job("cache_features", {**identity, "shard": 0, "shards": 1}, CACHING, copy)
    )
    gathering.gather_features(job("gather_features", identity, {"shards": 1}, copy))
    split = splits.load(recipes.Data("d", "b"), "val", copy)
    images, labels = (
        np.load(copy / f"resources/datasets/d/val/{name}.npy") for name in ("images", "labels")
    )
    tensors = checkpoints.load(copy / "resources/backbones/b.safetensors")
    (_, constants), network = without_normalization(tensors), prepared[2]
    with torch.no_grad():
        logits = network(constants(torch.from_numpy(images)))
        torch.testing.assert_close(network.head(split.inputs), logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(split.labels, labels)


def test_bfloat16_is_computed_and_stored_as_told(copy):
    whole = cache(copy, 1)
    coarse = cache(copy, 1, dataclasses.replace(CACHING, precision="bfloat16"))
    assert coarse.inputs.dtype == torch.float32
    apart = (coarse.inputs - whole.inputs).norm() / whole.inputs.norm()
    assert 1e-4 < apart < 0.05


def test_a_flipped_bit_in_an_image_stops_caching(copy):
    flip_a_bit(copy / "resources/datasets/d/train/images.npy")
    with pytest.raises(CorruptFile, match="expected sha256"):
        cache(copy, 1)
    assert not (copy / "results").exists()


def test_a_flipped_bit_in_the_labels_of_features_is_refused(copy):
    cache(copy, 1)
    flip_a_bit(copy / "results/features/d/b/train/labels.npy")
    with pytest.raises(CorruptFile, match=r"labels\.npy: expected sha256"):
        splits.load(recipes.Data("d", "b"), "train", copy)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)


def test_shards_that_miss_a_row_are_refused(copy):
    cache(copy, 1)
    path = copy / "results/features/d/b/train/shard-00-of-01.json"
    found = manifests.read_manifest(path, "cache_features", {**IDENTITY, "shard": 0, "shards": 1})
    dataclasses.replace(found, info={**found.info, "rows": 49}).write(path)
    with pytest.raises(DataError, match=r"shard-00-of-01\.npy: expected 49 rows, found 50"):
        gathering.gather_features(job("gather_features", IDENTITY, {"shards": 1}, copy))


def test_features_that_are_infinite_but_no_nan_stop_the_job_too(copy):
    path = copy / "resources/backbones/b.safetensors"
    tensors = checkpoints.load(path)
    name = [name for name in tensors if name.startswith("body") and name.endswith("mean")][-1]
    tensors[name][0] = -torch.inf
    entry = checkpoints.save(path, tensors)
    reseal(path.with_suffix(".json"), files={path.name: entry})
    with pytest.raises(DataError, match="not finite"):
        cache(copy, 1)


def test_every_split_is_written_as_it_was_prepared(tmp_path):
    generator = np.random.default_rng(2)
    made = {
        split: (generator.integers(0, 256, (n, 3, 2, 4), np.uint8), np.arange(n) % 5)
        for split, n in {"train": 8, "val": 5, "test": 6}.items()
    }
    prepared = datasets.Prepared([{"name": f"c{i}"} for i in range(5)], made)
    entries = datasets.write(prepared, tmp_path)
    assert datasets.class_names(tmp_path / "classes.json") == ["c0", "c1", "c2", "c3", "c4"]
    for split, (images, labels) in made.items():
        np.testing.assert_array_equal(np.load(tmp_path / split / "images.npy"), images)
        np.testing.assert_array_equal(np.load(tmp_path / split / "labels.npy"), labels)
        rows = ArrayFile(tmp_path / split / "images.npy").read(1, 4)
        np.testing.assert_array_equal(rows, images[1:4])
        for name in ("images", "labels"):
            path = tmp_path / split / f"{name}.npy"
            assert entries[f"{split}/{name}.npy"]["sha256"] == files.sha256(path)


@pytest.mark.parametrize("value", range(256))
def test_a_constant_channel_has_standard_deviation_one(value):
    images = torch.full((4, 1, 2, 2), value, dtype=torch.uint8)
    assert normalization_of(images, "channel").std.item() == 1.0


@pytest.mark.parametrize("what", ["recipe", "code"])
def test_shards_made_in_two_ways_are_not_mixed(tmp_path, what):
    facts, changes = {"recipe": {}, "code": "a"}, [{}, {what: {"precision": "bfloat16"}}]
    shards = [
        manifests.Manifest(
            "cache_features", {**IDENTITY, "shard": number, "shards": 2}, **facts | change
        )
        for number, change in enumerate(changes)
    ]
    gathering._refuse_mixture(shards[:1], tmp_path)
    with pytest.raises(StaleFile, match=f"shard-01-of-02.json: {what} differs from shard 0's"):
        gathering._refuse_mixture(shards, tmp_path)
