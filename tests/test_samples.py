"""Pictures of the data are training images of their classes, changed as in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cobaye import recipes
from cobaye.analyses import samples
from cobaye.data.datasets import Prepared, publish
from cobaye.errors import ConfigError
from cobaye.figures import samples as figure
from cobaye.planning.plan import Plan
from cobaye.training.augmentations import Augmentation
from tests.conftest import edit, load
from tests.drawing import drawn
from tests.figure_tables import samples as made
from tests.jobs import job
from tests.test_config import IMAGES, SCRIPTS, STUDY

FLIP = {"kind": "horizontal-flip", "options": {}}
CROP = {"kind": "crop", "options": {"padding": 2, "fill": "edge"}}
OPTIONS = samples.Options(classes=3, images=2)


@pytest.fixture
def root(tmp_path):
    """Five classes of grey images; every pixel of an image is its row plus its column."""
    labels = np.tile(np.arange(5), 6)
    images = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 1), np.uint8)
    images = images + np.arange(8, dtype=np.uint8)
    images = np.repeat(images, 6, axis=2)
    parts = dict.fromkeys(("train", "val", "test"), (images, labels))
    prepared = Prepared([{"name": f"c{number}"} for number in range(5)], parts)
    publish(job("prepare_dataset", {"dataset": "d"}, {}, tmp_path, code="c0de"), prepared)
    return tmp_path


def table(root, augment, options=OPTIONS):
    recipe = {"data": {"dataset": "d", "backbone": "b"}, "augment": augment}
    identity = {"study": "s", "maker": "samples"}
    return samples.analyse(job("analyse", identity, recipe, root), options)["samples"]


def pixels(one):
    return np.frombuffer(one.pixels, np.uint8).reshape(one.height, one.width, one.channels)


def test_images_are_those_of_the_training_split(root):
    found = table(root, {})
    assert found["class"].tolist() == [0, 0, 2, 2, 4, 4]
    assert found["name"].tolist() == ["c0", "c0", "c2", "c2", "c4", "c4"]
    assert (found["image"] % 5 == found["class"]).all()
    for one in found.itertuples():
        expected = np.repeat(one.image + np.arange(8)[None], 6, axis=0)
        assert np.array_equal(pixels(one)[:, :, 0], expected)
    assert not found.duplicated("image").any()


def test_the_seed_alone_decides(root):
    augment = {"a": [CROP]}
    first, again = table(root, augment), table(root, augment)
    assert first.equals(again)
    other = table(root, augment, dataclasses.replace(OPTIONS, seed=1))
    assert first["image"].tolist() != other["image"].tolist()


def test_optimizers_of_one_augmentation_share_a_version(root):
    found = table(root, {"a": [FLIP], "b": [FLIP, CROP], "c": [FLIP]})
    assert list(found["version"].unique()) == ["", "a, c", "b"]
    sizes = found.groupby("version", sort=False).size()
    assert sizes.tolist() == [6, 6, 6]


def test_an_image_is_changed_as_training_changes_it():
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    steps = [recipes.Kind("rotation", {"degrees": 20, "fill": "edge"}), recipes.Kind(**FLIP)]
    found = samples.augmented(image, steps, 7)
    batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    expected = Augmentation(steps)(batch, 7)[0].numpy().transpose(1, 2, 0)
    assert found.dtype == np.uint8
    assert abs(found - np.clip(expected, 0, 255)).max() <= 0.5
    assert np.array_equal(samples.augmented(image, [], 7), image)


def test_every_picture_stands_at_its_class_and_place():
    given = made(["a"], shape=(6, 8, 1))
    axes = drawn("samples", {"samples": given}).axes
    assert [ax.get_title("left") for ax in axes] == ["as they are", "augmented: a"]
    for ax, version in zip(axes, ("", "a"), strict=True):
        shown = ax.images[0].get_array()
        for one in given[given["version"] == version].itertuples():
            y, x = given.at[one.Index, "class"] * 7, one.place * 9
            assert np.array_equal(shown[y : y + 6, x : x + 8], pixels(one)[:, :, 0])
        assert [text.get_text() for text in ax.get_yticklabels()] == [
            f"class {n}" for n in range(3)
        ]
    raw = drawn("samples", {"samples": given}, augmented=False).axes
    assert [ax.get_title("left") for ax in raw] == ["as they are"]
    assert figure.block(made([])).shape == (3 * 7, 2 * 9, 3)


def test_without_images_the_figure_says_so():
    (ax,) = drawn("samples", {"samples": made([]).iloc[:0]}).axes
    assert ax.texts[0].get_text() == "nothing to show"


def test_the_analysis_is_told_each_augmentation_and_runs_its_code(folder):
    edit(folder, IMAGES, "analyses: []", "analyses: [samples]")
    edit(folder, IMAGES, "epochs:", "augment: [{kind: horizontal-flip}]\n    epochs:")
    stage = Plan(load(folder), SCRIPTS).stage("analyse", study="tiny-images", maker="samples")
    (asked,) = stage.recipe["augment"].values()
    assert [each["kind"] for each in asked] == ["horizontal-flip"]
    assert ("augmentations", "horizontal-flip") in stage.uses


def test_features_have_no_pictures(folder):
    text = "own: {kind: features, parts: {all: x.npz}, splits: {train: {of: all}, "
    text += "val: {of: all, fraction: 0.2}, test: {of: all, fraction: 0.2}}}\n"
    with (folder / "datasets.yaml").open("a") as file:
        file.write(text)
    edit(folder, STUDY, "dataset: tiny-glyphs\nbackbone: tiny-backbone", "dataset: own")
    edit(folder, STUDY, "models:", "analyses: [samples]\nmodels:")
    with pytest.raises(ConfigError, match="samples: it shows images, and own holds features"):
        load(folder)
