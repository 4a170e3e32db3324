"""Backbones that other code gives: a function of the workspace, timm, open_clip."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from cobaye import figures, recipes
from cobaye.config import Config
from cobaye.errors import CobayeError, ConfigError, DataError, StaleFile
from cobaye.features import caching, gathering
from cobaye.models import backbones
from cobaye.planning import stages
from cobaye.storage import checkpoints, files, manifests, own_code, paths, staleness
from cobaye.storage.arrays import save_array
from tests.conftest import ROOT, whole
from tests.jobs import job

NAME = "my_model:backbone"
IDENTITY = {"dataset": "d", "backbone": "b", "split": "train"}
SIDE, WIDTH = 4, 5
OWN = """
import torch
from shared.see import see

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(48, 5)
        self.tied = self.layer

    def forward(self, images):
        return self.layer(images.flatten(1))

def backbone():
    return Net(), see
"""
SEE = """
import numpy as np
import torch

def see(image):
    pixels = np.asarray(image.resize((4, 4)), np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)
"""


def seen(image):
    """What SEE gives, as numbers in a row."""
    pixels = np.asarray(image.resize((SIDE, SIDE)), np.float32) / 255
    return pixels.transpose(2, 0, 1).ravel()


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """Each test finds its own modules, and leaves none."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("my_model", "shared", "json_of_mine"):
            del sys.modules[name]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A workspace with a function, and a dataset of image files, one of which is broken."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "my_model.py").write_text(OWN)
    (tmp_path / "shared/see.py").write_text(SEE)
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for number in range(6):
        pixels = generator.integers(0, 256, (9 + number, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{number}.png")
    Image.new("L", (5, 6), 77).save(tmp_path / "images/6.png")
    (tmp_path / "images/3.png").write_bytes(b"no image")
    names = [f"{number}.png" for number in range(7)]
    write_dataset(tmp_path, "index.json", {"root": str(tmp_path / "images"), "paths": names}, 7)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_dataset(root, name, content, count):
    """Write a dataset d with a split train: an index of image files, or an array of images."""
    folder = root / paths.DATASET.format(dataset="d")
    write = files.write_json if name == "index.json" else save_array
    labels = np.arange(count, dtype=np.int64)
    made = {
        f"train/{each}": manifests.describe(
            folder / "train" / each, save(folder / "train" / each, value)
        )
        for each, save, value in [(name, write, content), ("labels.npy", save_array, labels)]
    }
    info = {"classes": 7, "shape": None, "form": "files" if name == "index.json" else "images"}
    manifest = manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info)
    manifest.write(folder / "manifest.json")


def prepare(root, name=NAME, reads=()):
    recipe = {"callable": name, "source": own_code.source(name, root).files, "reads": list(reads)}
    backbones.prepare_backbone(job("prepare_backbone", {"backbone": "b"}, recipe, root))


def cache(root, shards=1, threads=1, **changes):
    told = {"batch_size": 2, "precision": "float32", "storage": "float32", "skip_unreadable": True}
    recipe = recipes.Caching(**{**told, **changes})
    for shard in range(shards):
        identity = {**IDENTITY, "shard": shard, "shards": shards}
        caching.cache_features(job("cache_features", identity, recipe, root, threads=threads))
    gathering.gather_features(job("gather_features", IDENTITY, {"shards": shards}, root))
    folder = root / paths.FEATURES.format(**IDENTITY)
    found = np.concatenate([np.load(file) for file in sorted(folder.glob("shard-*.npy"))])
    return found, np.load(folder / "labels.npy")


def weights(root):
    return checkpoints.load(root / "resources/backbones/b.safetensors")


def expected(root, images):
    """Features by NumPy, of the stored weights."""
    stored = weights(root)
    rows = np.stack([seen(image) for image in images])
    return rows @ stored["layer.weight"].numpy().T + stored["layer.bias"].numpy()


@pytest.mark.parametrize(("shards", "threads"), [(1, 1), (3, 1), (1, 2)])
def test_features_are_those_of_the_stored_weights(root, shards, threads):
    """The function draws other weights at each call, and each shard calls it."""
    prepare(root)
    found, labels = cache(root, shards, threads)
    assert labels.tolist() == [0, 1, 2, 4, 5, 6]
    images = [Image.open(root / f"images/{label}.png").convert("RGB") for label in labels]
    np.testing.assert_allclose(found, expected(root, images), rtol=1e-5, atol=1e-6)


def test_images_of_an_array_are_transformed_as_rgb(root):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 1, 8, 8), np.uint8)
    write_dataset(root, "images.npy", pixels, 5)
    prepare(root)
    found, _ = cache(root)
    images = [Image.fromarray(image[0]).convert("RGB") for image in pixels]
    np.testing.assert_allclose(found, expected(root, images), rtol=1e-5, atol=1e-6)


def test_an_unreadable_image_is_listed_as_for_any_backbone(root):
    prepare(root)
    with pytest.raises(DataError, match=r"1 images cannot be read(.|\n)*3\.png"):
        cache(root, skip_unreadable=False)


def test_the_manifest_says_what_is_hashed_and_what_is_not(root):
    prepare(root)
    manifest = files.read_json(root / "resources/backbones/b.json")
    assert list(manifest["recipe"]["source"]) == ["my_model.py", "shared/see.py"]
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "torch")}
    assert manifest["info"]["not_hashed"] == versions


BACKBONES = f"b: {{callable: '{NAME}'}}\n"


def planned(root, backbones=BACKBONES):
    """Return the recipe of the backbone as the Snakefile would get it."""
    return recipes.plain(stages.prepare_backbone(config(root, backbones), "b").recipe)


def config(root, backbones=BACKBONES, study=""):
    (root / "config/studies").mkdir(parents=True, exist_ok=True)
    (root / "config/datasets.yaml").write_text("d: {kind: digits}\n")
    (root / "config/backbones.yaml").write_text(backbones)
    (root / "config/studies/s.yaml").write_text(
        "dataset: d\nbackbone: b\nmodels: {linear: {kind: linear}}\nweight_decays: ['1']\n"
        "optimizers: {exact: {algorithm: {kind: exact}}}\n" + study
    )
    return whole(Config({"studies": ["s"]}, root / "config", figures.names()))


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("my_model.py", OWN.replace("48", "16 * 3"), False),
        ("my_model.py", OWN + "# a comment\n", True),
        ("shared/see.py", SEE.replace("255", "256"), False),
        ("shared/__init__.py", "import math\n", False),
        ("shared/other.py", "x = 1\n", True),
    ],
)
def test_changed_code_is_another_recipe(root, file, text, same):
    before = planned(root)
    (root / file).write_text(text)
    assert (planned(root) == before) == same


def test_relative_imports_and_packages_count_and_nothing_is_imported(root):
    (root / "nets").mkdir()
    (root / "nets/__init__.py").write_text("from shared import see\n")
    (root / "nets/vit.py").write_text(
        "from . import parts\nfrom .parts import x\nraise OSError\nf = 1"
    )
    (root / "nets/parts.py").write_text("import nets.vit, timm.data, os.path\n")
    found = own_code.source("nets.vit:f", root)
    assert list(found.files) == [
        "nets/__init__.py",
        "nets/parts.py",
        "nets/vit.py",
        "shared/see.py",
    ]
    assert found.others == ["numpy", "timm", "torch"]


def test_code_that_is_edited_after_planning_is_not_used(root):
    source = own_code.source(NAME, root).files
    (root / "my_model.py").write_text(OWN.replace("Linear(48, 5)", "Linear(48, 6)"))
    recipe = {"callable": NAME, "source": source, "reads": []}
    with pytest.raises(StaleFile, match="edited after this job was planned"):
        backbones.prepare_backbone(job("prepare_backbone", {"backbone": "b"}, recipe, root))


def test_a_changed_file_that_the_code_reads_is_noticed(root):
    (root / "weights.pth").write_bytes(b"1")
    prepare(root, reads=["weights.pth"])
    path = root / "resources/backbones/b.json"
    made = files.read_json(path)
    fingerprint = manifests.stage_fingerprint(made["recipe"], made["code"])
    assert not staleness.is_stale(str(path), fingerprint)
    (root / "weights.pth").write_bytes(b"22")
    assert staleness.is_stale(str(path), fingerprint)


def test_planning_a_callable_imports_neither_it_nor_torch(root):
    config(root)
    code = (
        "import sys; from pathlib import Path; from cobaye import figures\n"
        "from cobaye.config import Config; from cobaye.planning import stages\n"
        "config = Config({'studies': ['s']}, Path('config'), figures.names())\n"
        "assert stages.prepare_backbone(config, 'b').recipe['source']\n"
        "print({'torch', 'my_model', 'shared'} & set(sys.modules))"
    )
    path = f"{root}{os.pathsep}{ROOT / 'workflow'}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "set()\n", done.stdout + done.stderr


# How the workspace's code is spoilt, and what the one message says.
SPOILT = [
    ("def backbone", "def backbon", "my_model.py has no 'backbone': did you mean 'backbon'"),
    ("Net(), see", "Net(, see", r"my_model.py: line 15: "),
    ("import torch", "import trch", "my_model.py: line 2: ModuleNotFoundError: No module .*'trch'"),
    ("    return Net()", "    1 / 0\n    return Net()", "line 15: ZeroDivisionError: division"),
    ("def backbone():", "def backbone(size):", "TypeError: .*missing 1 required"),
    ("return Net(), see", "return Net()", "returned a Net, not a pair: a torch.nn.Module and its"),
    ("return Net(), see", "return see, Net()", "returned a tuple, not a pair"),
    ("return Net(), see", "return Net(), None", "returned a tuple, not a pair"),
    ("import see", "import sea", "line 3: ImportError: cannot import name 'sea'"),
]


@pytest.mark.parametrize(("old", "new", "said"), SPOILT)
def test_code_that_gives_no_backbone_gets_one_message(root, old, new, said):
    (root / "my_model.py").write_text(OWN.replace(old, new, 1))
    with pytest.raises(CobayeError, match=said) as found:
        prepare(root)
    assert "callable: " in str(found.value)
    assert "\n" not in str(found.value)
    assert not (root / "resources/backbones").exists()


BAD = [
    ("my_model.py", "self.layer(", "self.tied.nothing(", "my_model.py: line 12: AttributeError"),
    ("my_model.py", "images.flatten(1)", "images", "RuntimeError: .*mat1 and mat2"),
    (
        "my_model.py", "return self.layer(images.flatten(1))", "return images",
        r"gave a tensor \(2, 3, 4, 4\) of torch.float32 for 2 images, not floats \(2, D\)",
    ),
    ("my_model.py", "images.flatten(1))", "images.flatten(1)).long()", "of torch.int64"),
    ("my_model.py", "images.flatten(1))", "images.flatten(1))[:1]", r"gave a tensor \(1, 5\)"),
    ("my_model.py", "self.layer(images.flatten(1))", "None", "gave a NoneType"),
    ("my_model.py", "images.flatten(1))", "images.flatten(1)) / 0", "are not finite"),
    ("shared/see.py", "image.resize", "image.resise", "see.py: line 6: AttributeError"),
    ("shared/see.py", "return torch.from_numpy", "return (lambda x: x)", "'numpy.ndarray' object"),
    ("shared/see.py", "    return", "    return pixels\n    return", "transform gave a ndarray: "),
    ("shared/see.py", "image.resize((4, 4))", "image", r"transform gave a tensor \(3, 10, 8\) of "),
]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("file", "old", "new", "said"), BAD)
def test_what_is_no_features_gets_one_message(root, file, old, new, said, threads):
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    prepare(root)
    with pytest.raises(DataError, match=said) as found:
        cache(root, threads=threads)
    assert "\n" not in str(found.value)
    assert list((root / "results").rglob("shard*")) == []


def test_another_network_than_the_stored_one_is_refused(root, monkeypatch):
    """One that depends on something else than its code, such as the environment."""
    text = OWN.replace("import torch", "import os\nimport torch")
    (root / "my_model.py").write_text(text.replace("48, 5", "48, 5 + ('WIDER' in os.environ)"))
    prepare(root)
    monkeypatch.setenv("WIDER", "1")
    with pytest.raises(DataError, match="another network"):
        cache(root)


def test_a_module_named_as_an_installed_one_is_refused(root):
    (root / "yaml.py").write_text(OWN)
    with pytest.raises(DataError, match=r"Python has another module 'yaml': rename yaml\.py"):
        prepare(root, "yaml:backbone")


def test_a_network_without_weights_is_cached(root):
    """Such as a descriptor that is computed, and has nothing to store."""
    (root / "my_model.py").write_text(OWN.replace("Net(), see", "torch.nn.Flatten(), see"))
    prepare(root)
    assert weights(root) == {}
    assert cache(root)[0].shape == (6, 48)


class Encoder(torch.nn.Module):
    """A network of a fake package: the mean of each colour, scaled by a stored weight."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.rand(()))

    def forward(self, images):
        return images.mean((2, 3)) * self.scale

    encode_image = forward


def transform(size):
    def see(image):
        pixels = np.asarray(image.resize((size, size)), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    return see


@pytest.fixture
def fakes(monkeypatch):
    """Packages with the signatures of timm and open_clip; what they were called with."""
    calls = []

    def create_model(model_name, pretrained=False, **options):
        calls.append((model_name, pretrained, options))
        return Encoder()

    def resolve_model_data_config(model, args=None):
        assert isinstance(model, Encoder)
        return {"input_size": (3, 6, 6)}

    def create_transform(input_size=224, is_training=False):
        assert not is_training
        return transform(input_size[-1])

    def create_model_and_transforms(model_name, pretrained=None, precision="fp32"):
        calls.append((model_name, pretrained))
        model = Encoder()
        model.forward = None  # CLIP's own takes images and texts
        return model, None, transform(6)

    timm, data, open_clip = (types.ModuleType(name) for name in ("timm", "timm.data", "open_clip"))
    timm.create_model, timm.data = create_model, data
    data.resolve_model_data_config = resolve_model_data_config
    data.create_transform = create_transform
    open_clip.create_model_and_transforms = create_model_and_transforms
    for module in (timm, data, open_clip):
        module.__spec__ = types.SimpleNamespace()
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


PACKAGES = {
    "timm:resnet18.a1_in1k": [
        ("resnet18.a1_in1k", True, {"num_classes": 0}),
        # The caching job needs no download: it gets the stored weights.
        ("resnet18.a1_in1k", False, {"num_classes": 0}),
    ],
    "open_clip:ViT-B-32/laion2b_s34b_b79k": [("ViT-B-32", "laion2b_s34b_b79k")] * 2,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_networks_of_packages(root, fakes, name):
    prepare(root, name)
    found, labels = cache(root)
    assert fakes == PACKAGES[name]
    (scale,) = weights(root).values()
    for row, label in zip(found, labels, strict=True):
        image = Image.open(root / f"images/{label}.png").convert("RGB").resize((6, 6))
        means = np.asarray(image, np.float32).mean((0, 1))
        np.testing.assert_allclose(row, means * float(scale), rtol=1e-5)
    manifest = files.read_json(root / "resources/backbones/b.json")
    assert manifest["recipe"]["source"] == {}
    assert list(manifest["info"]["not_hashed"]) == [name.partition(":")[0]]


@pytest.mark.parametrize("name", PACKAGES)
def test_weights_that_cannot_be_had_get_one_message(root, fakes, monkeypatch, name):
    def refused(*_, **__):
        try:
            raise ConnectionError("Couldn't reach\nthe hub")
        except ConnectionError as error:
            raise RuntimeError(f"Failed to download weights: {error}")  # noqa: B904

    package = name.partition(":")[0]
    for function in ("create_model", "create_model_and_transforms"):
        monkeypatch.setattr(sys.modules[package], function, refused, raising=False)
    with pytest.raises(DataError) as found:
        prepare(root, name)
    assert str(found.value) == (
        f"config/backbones.yaml: b.callable: {name}: its weights are not on this machine and "
        "cannot be downloaded: run the same command once with a network, or copy the download "
        "cache of another machine (RuntimeError: Failed to download weights: Couldn't reach the "
        "hub)"
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_a_package_does_not_know_is_said_in_its_words(root, fakes, monkeypatch, name):
    def refused(*_, **__):
        raise RuntimeError("Unknown model (resnet5O)")

    package = name.partition(":")[0]
    for function in ("create_model", "create_model_and_transforms"):
        monkeypatch.setattr(sys.modules[package], function, refused, raising=False)
    with pytest.raises(DataError, match=rf"{name}: RuntimeError: Unknown model \(resnet5O\)$"):
        prepare(root, name)


@pytest.mark.parametrize(
    ("name", "pip"), [("timm:a", "timm"), ("open_clip:a/b", "open_clip_torch")]
)
def test_a_package_that_is_missing_is_told_before_any_job(root, monkeypatch, name, pip):
    package = name.partition(":")[0]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    entry = config(root, f"b: {{callable: '{name}', reads: [none.pth]}}").backbones["b"]
    assert backbones.problems(entry) == [
        f"callable: {name}: the package {package} is missing: pip install {pip}",
        "reads: none.pth is missing",
    ]
    with pytest.raises(DataError, match=f"{name}: the package {package} is missing: pip install"):
        prepare(root, name)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("callable: my_model", "b.callable: 'my_model': give timm:<name>, open_clip:"),
        ("callable: 'open_clip:ViT-B-32'", "b.callable: 'open_clip:ViT-B-32': give timm:<name>"),
        ("callable: 'a/b.py:f'", "b.callable: 'a/b.py:f': give timm:<name>"),
        ("callable: 'm:f', torchvision: {model: vgg11}", "give one of run, torchvision and callab"),
        ("torchvision: {model: vgg11}, reads: [a]", "b: reads: for a callable only"),
        ("{}", "give one of run, torchvision and callable"),
    ],
)
def test_entries_that_name_no_callable(root, entry, said):
    with pytest.raises(ConfigError) as found:
        config(root, f"b: {entry}" if entry == "{}" else f"b: {{{entry}}}")
    assert said in str(found.value)


@pytest.mark.parametrize("name", ["no_model:backbone", "shared.no:see", "my_model:nothing"])
def test_code_that_is_missing_is_told_when_the_snakefile_is_read(root, name):
    where = rf"{root}/config/backbones\.yaml: b\.callable: "
    with pytest.raises(ConfigError, match=where) as found:
        planned(root, f"b: {{callable: '{name}'}}\n")
    assert "missing in" in str(found.value) or "has no 'nothing'" in str(found.value)


def test_what_needs_a_last_layer_says_that_there_is_none(root):
    with pytest.raises(ConfigError, match=r"baseline: true: 'b' is a callable, which has no last"):
        config(root, study="baseline: true\n")
    entry = config(root)
    (root / "config/studies/t.yaml").write_text(
        "dataset: d\nmodels: {r: {kind: resnet18, start: {backbone: b}}}\nweight_decays: ['1']\n"
        "optimizers: {o: {algorithm: {kind: adam}, learning_rate: 0.1, batch_size: 2, epochs: 1}}\n"
    )
    with pytest.raises(ConfigError, match=r"start\.backbone: 'b' is a callable: a model starts"):
        whole(Config({"studies": ["s"]}, entry.folder, figures.names()))
