"""Every family of torchvision gives its true penultimate features, with weights checked."""

from __future__ import annotations

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from cobaye import recipes
from cobaye.data.normalization import Normalization
from cobaye.errors import ConfigError, DataError
from cobaye.features import caching, gathering
from cobaye.models import backbones, networks
from cobaye.models.networks import torchvision as zoo
from cobaye.recipes.study import Backbone
from cobaye.storage import checkpoints, files, manifests, paths, sources, staleness
from cobaye.storage.arrays import save_array
from tests.jobs import job

# The smallest of each family; SqueezeNet has no linear layer.
FAMILIES = {
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "efficientnet_v2_s": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_y_400mf": 440,
    "resnet18": 512,
    "resnext50_32x4d": 2048,
    "shufflenet_v2_x0_5": 1024,
    "swin_t": 768,
    "swin_v2_t": 768,
    "vgg11": 4096,
    "vit_b_32": 768,
    "wide_resnet50_2": 2048,
}
MODEL = recipes.Kind("torchvision", {"model": "shufflenet_v2_x0_5"})
CACHING = recipes.Caching(batch_size=3, precision="float32", storage="float32")
IDENTITY = {"dataset": "d", "backbone": "b", "split": "train"}


def test_the_families_are_all_of_torchvisions():
    """Each name of torchvision belongs to one above: a new family must be added here."""
    prefixes = {name.split("_")[0].rstrip("0123456789") for name in FAMILIES} | {"squeezenet"}
    for name in models.list_models(module=models):
        family = name.split("_")[0].rstrip("0123456789")
        assert any(family.startswith(prefix) for prefix in prefixes), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_penultimate_features_of_every_family(name):
    """And its last layer gives of them the logits of the network that was not cut."""
    whole = zoo.create(name, num_classes=3).eval()
    size = zoo.min_size(name)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = whole(images)
        network = zoo.cut(whole, name)
        found = network.body(images)
        assert found.shape == (1, FAMILIES[name])
        assert torch.equal(network.head(found), logits)


@pytest.mark.filterwarnings("ignore")
def test_a_network_without_linear_layer_is_refused():
    with pytest.raises(ConfigError, match="not linear"):
        zoo.build(zoo.Options("squeezenet1_0"), (3, 224, 224), 3)


def test_an_unknown_network_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'resnet50'"):
        zoo.create("resnet5O")


def origin(**changes):
    return Backbone("b", CACHING, 1, model=MODEL, weights="DEFAULT", **changes)


def test_missing_weights_are_told_before_any_job(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (said,) = backbones.problems(origin())
    for part in ("download: true", "shufflenetv2_x0.5", "file:"):
        assert part in said
    assert backbones.problems(origin(download=True)) == []
    (said,) = backbones.problems(origin(file=str(tmp_path / "none.pth")))
    assert "none.pth is missing" in said
    (said,) = backbones.problems(dataclasses.replace(origin(), weights="IMAGENET1K_V9"))
    assert "did you mean 'IMAGENET1K_V1'" in said


@pytest.fixture
def root(tmp_path):
    """An index of images, among them a broken, a CMYK, a grey and a 1-pixel one, and a backbone."""
    source = tmp_path / "images"
    source.mkdir()
    generator = np.random.default_rng(0)
    for number in range(5):
        pixels = generator.integers(0, 256, (60 + number, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.jpg", quality=90)
    (source / "5.jpg").write_bytes((source / "0.jpg").read_bytes()[:300])
    Image.new("CMYK", (50, 40), (10, 200, 30, 0)).save(source / "6.jpg")
    Image.new("L", (50, 40), 100).save(source / "7.jpg")
    Image.new("RGB", (1, 1), (9, 8, 7)).save(source / "8.png")
    names = [path.name for path in sorted(source.iterdir())]
    folder = tmp_path / paths.DATASET.format(dataset="d")
    index = {"root": str(source), "paths": names}
    made = {
        "train/index.json": manifests.describe(
            folder / "train/index.json", files.write_json(folder / "train/index.json", index)
        )
    }
    labels = np.arange(9, dtype=np.int64)
    made["train/labels.npy"] = manifests.describe(
        folder / "train/labels.npy", save_array(folder / "train/labels.npy", labels)
    )
    info = {"classes": 9, "shape": None, "form": "files"}
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    torch.manual_seed(0)
    network = zoo.create("shufflenet_v2_x0_5", num_classes=1000)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    recipe = {
        "model": recipes.plain(MODEL),
        "weights": "DEFAULT",
        "file": "weights.pth",
    }
    backbones.prepare_backbone(job("prepare_backbone", {"backbone": "b"}, recipe, tmp_path))
    return tmp_path


def cache(root, shards=1, workers=0, **changes):
    for shard in range(shards):
        identity = {**IDENTITY, "shard": shard, "shards": shards}
        recipe = dataclasses.replace(CACHING, **changes)
        caching.cache_features(job("cache_features", identity, recipe, root, threads=workers))
    gathering.gather_features(job("gather_features", IDENTITY, {"shards": shards}, root))
    folder = root / paths.FEATURES.format(**IDENTITY)
    arrays = [np.load(file) for file in sorted(folder.glob("shard-*.npy"))]
    return np.concatenate(arrays), np.load(folder / "labels.npy")


def test_all_unreadable_images_are_listed_and_nothing_is_left(root):
    (root / "images/3.jpg").write_bytes(b"no image")
    with pytest.raises(DataError) as found:
        cache(root)
    message = str(found.value)
    assert "2 images cannot be read" in message
    assert "5.jpg" in message
    assert "3.jpg" in message
    assert "skip_unreadable: true" in message
    assert list((root / "results").rglob("shard*")) == []


def test_threads_and_batch_size_are_not_seen_in_the_features(root, monkeypatch):
    """A processor computes so many images at once, whoever decodes them."""
    sizes, forward = [], backbones.Penultimate.forward
    monkeypatch.setattr(
        backbones.Penultimate,
        "forward",
        lambda self, images: sizes.append(len(images)) or forward(self, images),
    )
    monkeypatch.setattr(caching, "BLOCK", 3)
    found = [
        cache(root, workers=workers, batch_size=size, skip_unreadable=True)[0].tobytes()
        for workers, size in [(1, 3), (1, 64), (2, 8), (2, 64)]
    ]
    assert len(set(found)) == 1
    assert sizes == [3, 2, 3] * 2  # in this process; the sixth image is left out


@pytest.mark.parametrize(("shards", "workers"), [(1, 0), (1, 2), (4, 0)])
def test_a_skipped_image_never_shifts_a_label(root, shards, workers):
    found, labels = cache(root, shards, workers, skip_unreadable=True)
    assert labels.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    seen = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT.transforms()
    loaded = backbones.load("b", root)
    network = backbones.Penultimate(MODEL, loaded.tensors, (3, 224, 224)).network
    for row, label in zip(found, labels, strict=True):
        suffix = "png" if label == 8 else "jpg"
        with Image.open(root / f"images/{label}.{suffix}") as image:
            pixels = seen(image.convert("RGB"))
        with torch.inference_mode():
            expected = network(pixels[None]).flatten().numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-5)
    manifest = files.read_json(root / paths.FEATURES.format(**IDENTITY) / "manifest.json")
    assert list(manifest["info"]["skipped"]) == ["5"]


def stale_shards(root, shards):
    """Return which shards the next parse of the Snakefile would have cached again."""
    sources._changed.cache_clear()
    found = []
    for shard in range(shards):
        path = root / paths.manifest(
            "cache_features", {**IDENTITY, "shard": shard, "shards": shards}
        )
        made = files.read_json(path)
        fingerprint = manifests.stage_fingerprint(made["recipe"], made["code"])
        found += [shard] if staleness.is_stale(str(path), fingerprint) else []
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mended_image_is_cached_again_with_its_shard_alone(root, workers):
    cache(root, 3, workers, skip_unreadable=True)
    for image in (root / "images").iterdir():
        os.utime(image, ns=(0, 1))
    assert stale_shards(root, 3) == []
    (root / "images/5.jpg").write_bytes((root / "images/0.jpg").read_bytes())
    assert stale_shards(root, 3) == [1]
    _, labels = cache(root, 3, workers, skip_unreadable=True)
    assert labels.tolist() == list(range(9))
    assert stale_shards(root, 3) == []


def test_other_weights_under_the_same_name_are_noticed(root, monkeypatch):
    monkeypatch.chdir(root)
    path = root / paths.manifest("prepare_backbone", {"backbone": "b"})
    made = files.read_json(path)
    fingerprint = manifests.stage_fingerprint(made["recipe"], made["code"])
    os.utime("weights.pth", ns=(0, 1))
    assert not staleness.is_stale(str(path), fingerprint)
    state = torch.load("weights.pth", weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in state.items()}, "weights.pth")
    staleness._sha256.cache_clear()
    assert staleness.is_stale(str(path), fingerprint)


def test_the_exported_head_gives_torchvisions_own_logits(root):
    network = zoo.create("shufflenet_v2_x0_5", num_classes=1000).eval()
    network.load_state_dict(torch.load(root / "weights.pth", weights_only=True))
    tensors = backbones.load("b", root).tensors
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    penultimate = backbones.Penultimate(MODEL, tensors, (3, 224, 224))
    with torch.inference_mode():
        found = torch.nn.functional.linear(
            penultimate(images), tensors["head.weight"], tensors["head.bias"]
        )
        expected = network(penultimate.normalization(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_features_are_close(root):
    exact, _ = cache(root, skip_unreadable=True)
    rough, _ = cache(root, skip_unreadable=True, precision="bfloat16")
    error = np.abs(rough - exact).max() / np.abs(exact).max()
    assert 0 < error < 0.05


def test_weights_that_do_not_fit_are_refused(root):
    torch.save({"a": torch.zeros(1)}, root / "other.pth")
    recipe = {"model": recipes.plain(MODEL), "weights": "DEFAULT", "file": "other.pth"}
    with pytest.raises(DataError, match=r"other\.pth: does not fit shufflenet"):
        backbones.prepare_backbone(job("prepare_backbone", {"backbone": "c"}, recipe, root))
    assert not (root / "resources/backbones/c.safetensors").exists()


def test_a_pickle_is_not_run(root):
    class Malicious:
        def __reduce__(self):
            return (open, (str(root / "harm"), "w"))

    for name in ("evil.pth", "evil.safetensors"):
        (root / name).write_bytes(pickle.dumps({"a": Malicious()}))
        recipe = {"model": recipes.plain(MODEL), "weights": "DEFAULT", "file": name}
        with pytest.raises(DataError, match=name):
            backbones.prepare_backbone(job("prepare_backbone", {"backbone": "c"}, recipe, root))
    assert not (root / "harm").exists()


def test_safetensors_weights_are_read_too(root):
    state = torch.load(root / "weights.pth", weights_only=True)
    checkpoints.save(root / "w.safetensors", state)
    recipe = {"model": recipes.plain(MODEL), "weights": "DEFAULT", "file": "w.safetensors"}
    backbones.prepare_backbone(job("prepare_backbone", {"backbone": "c"}, recipe, root))
    first, second = (backbones.load(name, root).tensors for name in ("b", "c"))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_features_and_folded_head_of_a_network_that_normalises_its_outputs():
    torch.manual_seed(0)
    model = recipes.Kind("vgg16", {"width": 0.05, "initialization": "glorot", "resize": None})
    network = networks.build(model, (1, 32, 32), 5)
    images = torch.randint(256, (40, 1, 32, 32), dtype=torch.uint8)
    network.train()
    for _ in range(60):  # running statistics approach the batch's
        network(images / 255)
    network.eval()
    constants = Normalization(torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    tensors = {**network.state_dict(), **constants.tensors()}
    found = backbones.Penultimate(model, tensors, (1, 32, 32))
    head = backbones.Backbone(tensors, None, "").head()
    with torch.no_grad():
        penultimate = found(images)
        logits = network(found.normalization(images))
        outputs = torch.nn.functional.linear(penultimate, head["head.weight"], head["head.bias"])
    assert penultimate.shape == (40, 26)
    assert logits.std() > 0.1
    torch.testing.assert_close(outputs, logits, rtol=1e-4, atol=1e-4)


def test_the_folded_head_divides_as_the_batch_norm_behind_it():
    """A class whose outputs hardly vary is divided by the root of variance plus epsilon."""
    torch.manual_seed(0)
    head, norm = torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2, affine=False).eval()
    norm.running_var.copy_(torch.tensor([1e-5, 3.0]))
    norm.running_mean.copy_(torch.tensor([0.5, -1.0]))
    tensors = torch.nn.ModuleDict({"head": head, "norm": norm}).state_dict()
    folded = backbones.Backbone(tensors, None, "").head()
    inputs = torch.randn(4, 3)
    found = torch.nn.functional.linear(inputs, folded["head.weight"], folded["head.bias"])
    torch.testing.assert_close(found, norm(head(inputs)), rtol=1e-4, atol=1e-4)
