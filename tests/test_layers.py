"""The tables of layers and tensors hold the (corrected) numbers of the reports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import kinds, recipes
from cobaye.data import datasets
from cobaye.errors import CorruptFile
from cobaye.models import layers
from cobaye.storage import manifests, paths
from tests.jobs import job


def described(kind, shape, classes=10, *, train_only=(), loss="cross-entropy", batch_size=5, **own):
    options = recipes.plain(kinds.options("networks", kind)(**own))
    model = layers.Described(
        recipes.Kind(kind, options), loss, train_only, "float32", batch_size=batch_size
    )
    data = layers._Data(shape, "uint8", classes, {"train": 63_000, "val": 7_000, "test": 7_000})
    return model, data


def table(*arguments, **options):
    return pd.DataFrame(layers.layers(*described(*arguments, **options))).set_index("layer")


def test_convnet():
    rows = table("convnet", (3, 32, 32))
    expected = {
        "body.conv1": ("Conv2d", "32×32×32", 32 * (3 * 25 + 1)),
        "body.pool1": ("MaxPool2d", "32×16×16", 0),
        "body.conv2": ("Conv2d", "64×12×12", 51_264),
        "body.pool2": ("MaxPool2d", "64×6×6", 0),
        "body.conv3": ("Conv2d", "64×2×2", 64 * (64 * 25 + 1)),
        "body.pool3": ("MaxPool2d", "64×1×1", 0),
        "body.fc": ("Linear", "1000", 65_000),
        "head": ("Linear", "10", 10_010),
        "total": ("", "", 231_170),
    }
    found = rows.loc[list(expected), ["kind", "output", "parameters"]]
    assert [tuple(row) for row in found.to_numpy()] == list(expected.values())
    assert (rows["trained"] == rows["parameters"]).all()


# Table 6.2 of the report on VGG-16 (S2.1): neurons and parameters.
VGG16 = [
    *((65_536, 1792), (65_536, 36_928), (32_768, 73_856), (32_768, 147_584)),
    *((16_384, 295_168), (16_384, 590_080), (16_384, 590_080)),
    *((8192, 1_180_160), (8192, 2_359_808), (8192, 2_359_808)),
    *((2048, 2_359_808), (2048, 2_359_808), (2048, 2_359_808), (512, 262_656), (10, 5130)),
]


def test_vgg16():
    rows = table("vgg16", (3, 32, 32))
    rows["neurons"] = [np.prod([int(n) for n in out.split("×") if n]) for out in rows["output"]]
    names = [*(f"body.conv{number}" for number in range(1, 14)), "body.dense", "head"]
    found = rows.loc[names, ["neurons", "parameters"]]
    assert [tuple(row) for row in found.astype(int).to_numpy()] == VGG16
    others = rows.drop(index=[*names, "total"])
    assert not others["parameters"].any()
    assert rows["parameters"]["total"] == sum(parameters for _, parameters in VGG16) == 14_982_474
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    blocks = [[*block * number, "MaxPool2d"] for number in (2, 2, 3, 3, 3)]
    assert list(rows["kind"])[:-1] == [
        *(kind for each in blocks for kind in each),
        *("Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"),
    ]
    assert list(rows.index)[-3:] == ["head", "norm", "total"]


# Table 4.1 of the report, its first 16 rows and from the 51st on.
FIRST = [
    *("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"),
    *("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "BasicBlock"),
    *("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"),
]
FIRST_PARAMETERS = [3136, 128, 0, 0, *(36864, 128, 0, 36864, 128, 0, 0), 36864, 128, 0, 36864, 128]
LAST = [
    *("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "Conv2d", "BatchNorm2d", "ReLU"),
    *("BasicBlock", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU"),
    *("BasicBlock", "AdaptiveAvgPool2d", "Linear"),
]
LAST_PARAMETERS = [
    *(1_179_648, 1024, 0, 2_359_296, 1024, 131_072, 1024, 0, 0),
    *(2_359_296, 1024, 0, 2_359_296, 1024, 0, 0, 0, 5130),
]


@pytest.mark.parametrize(
    ("resize", "first", "pooled", "last"), [(None, 14, 7, 1), (224, 112, 56, 7)]
)
def test_resnet18(resize, first, pooled, last):
    rows = table("resnet18", (1, 28, 28), resize=resize)
    assert rows["parameters"]["total"] == 11_175_370
    rows = rows.drop(index="total")
    assert len(rows) == 68
    assert list(rows["kind"][:16]) == FIRST
    assert list(rows["kind"][50:]) == LAST
    assert list(rows["parameters"][:16]) == FIRST_PARAMETERS
    assert list(rows["parameters"][50:]) == LAST_PARAMETERS
    assert list(rows["output"][:3]) == [f"64×{first}×{first}"] * 3
    assert list(rows["output"][3:16]) == [f"64×{pooled}×{pooled}"] * 13
    assert list(rows["output"][50:66]) == [f"512×{last}×{last}"] * 16
    assert list(rows["output"][66:]) == ["512×1×1", "10"]


def test_resnet18_trained_in_part():
    rows = table("resnet18", (1, 28, 28), train_only=("layer4", "head"))
    learning = {name.split(".")[1] for name in rows.index[rows["trained"] > 0] if "." in name}
    assert learning == {"layer4"}
    assert rows["trained"]["head"] == 5130
    blocks = 2_359_296 * 3 + 1_179_648 + 131_072 + 5 * 1024
    assert rows["trained"]["total"] == blocks + 5130
    assert rows["parameters"]["total"] == 11_175_370


@pytest.mark.parametrize(
    ("kind", "own", "total"),
    [
        ("linear", {}, 7850),
        ("perceptron", {}, 7850),
        ("mlp", {"widths": (100,)}, 79_510),
        ("mlp", {"widths": (1024, 10, 1024)}, 785 * 1024 + 1025 * 10 + 11 * 1024 + 1025 * 10),
    ],
)
def test_parameters_of_affine_networks(kind, own, total):
    rows = table(kind, (1, 28, 28), **own)
    assert rows["parameters"]["total"] == total
    assert rows["output"]["head"] == "10"


def test_the_perceptrons_tensors():
    """S3.1: a weight is (outputs × inputs) here, and labels are one-hot in a batch only."""
    model = described("perceptron", (1, 28, 28), loss="squared-error")
    rows = pd.DataFrame(layers.tensors(*model)).set_index("tensor")
    assert dict(rows["shape"]) == {
        "train.inputs": "63000×1×28×28",
        "train.inputs.flatten(1)": "63000×784",
        "train.labels": "63000",
        "val.inputs": "7000×1×28×28",
        "val.inputs.flatten(1)": "7000×784",
        "val.labels": "7000",
        "test.inputs": "7000×1×28×28",
        "test.inputs.flatten(1)": "7000×784",
        "test.labels": "7000",
        "head.weight": "10×784",
        "head.bias": "10",
        "head.bias.expand(1, -1).sum(0)": "10",
        "batch.inputs": "5×1×28×28",
        "batch.inputs.flatten(1)": "5×784",
        "batch.outputs": "5×10",
        "batch.outputs.argmax(1)": "5",
        "batch.targets": "5×10",
        "batch.targets.argmax(1)": "5",
        "batch.gradient": "5×10",
        "batch.gradient.sum(0)": "10",
        "batch.losses": "5",
    }
    assert "outputs - targets" in rows["what"]["batch.gradient"]


def test_the_tensors_of_a_batch_are_what_torch_makes_of_it():
    model, data = described("perceptron", (1, 4, 4), loss="squared-error")
    rows = pd.DataFrame(layers.tensors(model, data)).set_index("tensor")
    inputs = torch.rand(model.batch_size, 1, 4, 4)
    head = torch.nn.Linear(16, data.classes)
    outputs = head(inputs.flatten(1))
    targets = torch.eye(data.classes)[torch.arange(model.batch_size) % data.classes]
    outputs.retain_grad()
    (0.5 * (outputs - targets) ** 2).sum(1).mean().backward()
    found = {"batch.outputs": outputs, "batch.targets": targets, "batch.gradient": outputs.grad}
    for name, tensor in found.items():
        assert rows["shape"][name] == "×".join(map(str, tensor.shape))
    torch.testing.assert_close(outputs.grad.sum(0), head.bias.grad)
    assert rows["shape"]["batch.gradient.sum(0)"] == str(len(head.bias.grad))
    for name in ("outputs", "targets"):
        one = found[f"batch.{name}"].argmax(1)
        assert rows["shape"][f"batch.{name}.argmax(1)"] == str(len(one))
        assert rows["dtype"][f"batch.{name}.argmax(1)"] == str(one.dtype).split(".")[1]
    summed = head.bias.expand(1, -1).sum(0)
    assert rows["shape"]["head.bias.expand(1, -1).sum(0)"] == str(len(summed))


def test_networks_that_read_images_have_no_flat_rows():
    rows = pd.DataFrame(layers.tensors(*described("resnet18", (1, 28, 28))))
    assert not rows["tensor"].str.contains("flatten").any()


def test_what_is_frozen_and_what_is_a_buffer():
    model = described("resnet18", (1, 28, 28), train_only=("layer4", "head"))
    what = pd.DataFrame(layers.tensors(*model)).set_index("tensor")["what"]
    assert what["head.weight"] == what["body.layer4.0.bn1.bias"] == "learns"
    assert what["body.conv1.weight"] == "frozen"
    assert what["body.bn1.running_mean"] == "a buffer"


@pytest.fixture
def root(tmp_path):
    generator = np.random.default_rng(0)
    parts = {
        split: (generator.integers(0, 256, (n, 1, 6, 6), np.uint8), np.arange(n) % 3)
        for split, n in {"train": 9, "val": 3, "test": 4}.items()
    }
    folder = tmp_path / paths.DATASET.format(dataset="d")
    made = datasets.write(datasets.Prepared([{"name": f"c{i}"} for i in range(3)], parts), folder)
    counts = {split: len(labels) for split, (_, labels) in parts.items()}
    info = {"classes": 3, "shape": [1, 6, 6], "form": "images", "images": counts}
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    return tmp_path


def test_both_tables_are_written_and_covered(root):
    recipe = {
        "data": {"dataset": "d", "backbone": None},
        "models": {
            name: recipes.plain(described(name, (1, 6, 6))[0]) for name in ("linear", "mlp")
        },
    }
    path = layers.describe_models(job("describe_models", {"study": "s"}, recipe, root))
    manifest = manifests.read_manifest(path, "describe_models", {"study": "s"})
    rows = pd.read_csv(manifest.check(path.parent, "layers.csv"))
    assert list(rows.columns) == [
        *("model", "number", "layer", "kind", "output", "parameters", "trained")
    ]
    totals = rows[rows["layer"] == "total"].set_index("model")["parameters"]
    assert dict(totals) == {"linear": 37 * 3, "mlp": 37 * 100 + 101 * 3}
    rows = pd.read_csv(manifest.check(path.parent, "tensors.csv"))
    assert set(rows["model"]) == {"linear", "mlp"}
    first = manifest.files
    layers.describe_models(job("describe_models", {"study": "s"}, recipe, root))
    assert manifests.read_manifest(path, "describe_models", {"study": "s"}).files == first
    (path.parent / "layers.csv").write_text("model\n")
    with pytest.raises(CorruptFile, match=r"--forcerun .*layers\.json"):
        manifest.check(path.parent, "layers.csv")
