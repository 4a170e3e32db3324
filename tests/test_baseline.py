"""The backbone's own last layer is judged as the runs are, or refused by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import without_normalization
from cobaye.errors import DataError
from cobaye.evaluation import baseline
from cobaye.figures import render
from cobaye.figures import test_curves as curves
from cobaye.models import backbones, networks
from cobaye.storage import checkpoints, files, manifests
from tests.figure_tables import study
from tests.jobs import job

RESNET = kinds.options("networks", "resnet-small")()
MODEL = recipes.Kind("resnet-small", recipes.plain(RESNET))
DATA = recipes.Data("tiny-glyphs", "tiny-backbone")


@pytest.mark.slow
def test_the_baseline_is_the_whole_network_on_the_images(built):
    run = "results/tiny-backbone/runs/resnet/sgd/wd-1e-3/seed-0"
    tensors = checkpoints.load(built.path(f"{run}/checkpoints/epoch-002.safetensors"))
    own, normalization = without_normalization(tensors)
    network = networks.build(MODEL, (1, 32, 32), 6)
    network.load_state_dict(own)
    table = pd.read_csv(built.path("results/tiny/tables/baseline.csv"), index_col="split")
    assert list(table.index) == ["train", "val", "test"]
    metrics = pd.read_parquet(built.path("results/tiny/baseline/metrics.parquet"))
    assert set(metrics["epoch"]) == {0}
    for name in table.index:
        split = splits.load(recipes.Data("tiny-glyphs", None), name, built.folder)
        with torch.inference_mode():
            logits = network.eval()(normalization(split.inputs))
        loss = torch.nn.functional.cross_entropy(logits, split.labels).item()
        assert table.loc[name, "loss"] == pytest.approx(loss, rel=1e-5)
        right = (logits.argmax(1) == split.labels).float().mean().item()
        assert table.loc[name, "accuracy"] == pytest.approx(right)
    predictions = pd.read_parquet(built.path("results/tiny/baseline/predictions.parquet"))
    val = predictions[predictions["split"] == "val"]
    assert val["scaled_loss"].mean() <= val["loss"].mean()
    assert predictions.notna().all(axis=None)


@pytest.mark.slow
def test_a_changed_baseline_is_refused_by_name(copied):
    file = copied.path("results/tiny/baseline/metrics.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    said = copied.run("--forcerun", "tabulate", "-R", "tabulate", "tiny", check=False)
    log = copied.path("results/logs/tabulate/tiny/tables.log").read_text()
    assert said.returncode != 0
    assert "baseline/metrics.parquet" in log
    assert "snakemake --cores all" in log


@pytest.fixture
def root(tmp_path):
    """A dataset of three classes, and a backbone whose head tells three named classes apart."""
    write(tmp_path, ["a", "b", "c"], ["a", "b", "c"])
    return tmp_path


def write(root, classes, categories):
    folder = root / "resources/datasets/tiny-glyphs"
    names = [{"name": name} for name in classes]
    made = manifests.describe(
        folder / "classes.json", files.write_json(folder / "classes.json", names)
    )
    info = {"classes": len(classes), "form": "images"}
    manifests.Manifest(
        "prepare_dataset", {"dataset": "tiny-glyphs"}, {}, "", {}, {"classes.json": made}, info
    ).write(folder / "manifest.json")
    place = root / "resources/backbones/tiny-backbone.safetensors"
    shape = (len(categories), 4)
    tensors = {"head.weight": torch.ones(shape), "head.bias": torch.zeros(shape[0])}
    entry = checkpoints.save(place, tensors)
    manifests.Manifest(
        "prepare_backbone",
        {"backbone": "tiny-backbone"},
        {},
        "",
        {},
        {place.name: entry},
        {"resize": None, "categories": categories},
    ).write(place.with_suffix(".json"))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["a", "b"], ("3 classes apart, not 2",)),
        (["a", "x", "c"], ("class 1 is 'b'", "the dataset's is 'x'")),
    ],
)
def test_a_head_of_other_classes_is_refused(root, classes, expected):
    write(root, classes, ["a", "b", "c"])
    with pytest.raises(DataError) as said:
        baseline.evaluate_baseline(job("evaluate_baseline", {"study": "tiny"}, DATA, root))
    for part in ("tiny-backbone", "tiny-glyphs", *expected):
        assert part in str(said.value)
    assert not (root / "results").exists()


def test_classes_of_a_head_are_compared_by_name_only_if_it_has_names(root):
    backbone = backbones.load("tiny-backbone", root)
    assert (backbone.classes, backbone.categories) == (3, ["a", "b", "c"])
    baseline._refuse_other_classes(DATA, backbone, root)
    write(root, ["x", "y", "z"], ["a", "b", "c"])
    nameless = dataclasses.replace(backbone, categories=None)
    baseline._refuse_other_classes(DATA, nameless, root)


def test_it_is_drawn_at_its_place():
    tables = study(lambdas=("0", "1e-3"), classes=5, epochs=4)
    row = {"split": "test", "loss": 9.0, "accuracy": 0.5, "top5": 1.0}
    drawn = curves.draw({**tables, "baseline": pd.DataFrame([row])}, curves.Options())
    accuracy, loss = drawn.axes
    for ax, value in ((accuracy, 50.0), (loss, 9.0)):
        levels = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
        assert any(np.allclose(level, value) for level in levels)
        low, high = ax.get_ylim()
        assert low < value < high
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "the backbone's own last layer" in labels
    bare = render("test-curves", tables, curves.Options())
    assert bare != render(
        "test-curves", {**tables, "baseline": pd.DataFrame([row])}, curves.Options()
    )
