"""Glyphs are their characters, drawn by their seed alone, no image in two splits."""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata

import numpy as np
import pytest

from cobaye import recipes
from cobaye.data import datasets
from cobaye.data.datasets import _fonts, glyphs
from cobaye.errors import DataError
from tests.jobs import job

SMALL = glyphs.Options(classes=80, train=5, val=2, test=3)


@pytest.fixture(scope="module")
def prepared():
    return glyphs.prepare(SMALL)


def test_arrays(prepared):
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        images, labels = prepared.splits[split]
        assert images.shape == (80 * count, 1, 32, 32)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        assert np.bincount(labels).tolist() == [count] * 80


def test_labels_are_in_code_point_order(prepared):
    codes = [entry["code_point"] for entry in prepared.classes]
    assert codes == sorted(set(codes))
    for entry in prepared.classes:
        assert entry["name"].startswith(chr(entry["code_point"]))
        assert entry["unicode"] == unicodedata.name(chr(entry["code_point"]))
    assert len({entry["name"] for entry in prepared.classes}) == len(codes)


def test_an_image_does_not_depend_on_the_other_classes(prepared):
    fewer = glyphs.prepare(dataclasses.replace(SMALL, classes=62))
    codes = [entry["code_point"] for entry in prepared.classes]
    kept = [codes.index(entry["code_point"]) for entry in fewer.classes]
    for split, (images, _) in fewer.splits.items():
        by_class = prepared.splits[split][0].reshape(80, -1, 1, 32, 32)
        assert np.array_equal(images, by_class[kept].reshape(images.shape))


def test_images_drawn_in_chunks(monkeypatch):
    options = glyphs.Options(classes=2, train=7, val=1, test=1)
    monkeypatch.setattr(glyphs, "CHUNK", 3)
    images, _ = glyphs.prepare(options).splits["train"]
    assert len(np.unique(images.reshape(14, -1), axis=0)) == 14


def test_no_split_shares_an_image(prepared):
    images = np.concatenate([images for images, _ in prepared.splits.values()])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_no_image_is_blank():
    plain = glyphs.prepare(dataclasses.replace(SMALL, classes=300, noise=0.0))
    for images, _ in plain.splits.values():
        pixels = images.reshape(len(images), -1).astype(int)
        assert np.ptp(pixels, axis=1).min() > 20


def test_images_differ_within_a_class_and_between_splits(prepared):
    images, labels = prepared.splits["train"]
    ones = images[labels == 1].astype(float)
    assert min(np.abs(ones[0] - other).mean() for other in ones[1:]) > 5


def test_the_box_of_a_missing_glyph_is_never_drawn():
    """U+FFFF is in no font: what a face draws for it (STIX: nothing) is no character's drawing."""
    boxes = {face: draw(face, chr(0xFFFF)) for face in glyphs.FACES}
    assert boxes["DejaVuSans"].max() == 1
    for code in glyphs.candidates(min_faces=12)[::5]:
        faces = [face for face in glyphs.FACES if code in _fonts.characters(face)]
        outlines = glyphs.draw_outlines(code, 16)
        assert len(outlines) == len(faces) >= 12
        for face, outline in zip(faces, outlines, strict=True):
            assert outline.max() > 0.3
            assert not np.array_equal(outline, boxes[face])


def draw(face, character):
    return glyphs._draw(_fonts.font(face, round(glyphs.EM * 16)), character)


def test_first_ten_classes_are_the_digits_and_62_are_ascii():
    assert bytes(glyphs.choose(glyphs.Options(classes=10))).decode() == "0123456789"
    assert len(bytes(glyphs.choose(glyphs.Options(classes=62))).decode()) == 62


def test_neighbours_come_in_runs():
    candidates = glyphs.candidates(14)
    places = [candidates.index(code) for code in glyphs.choose(glyphs.Options(classes=200))]
    neighbours = sum(after - before == 1 for before, after in itertools.pairwise(places))
    assert neighbours > 170


def test_a_thousand_classes_are_possible():
    options = glyphs.Options(classes=1000, min_faces=12)
    assert glyphs.problems(options) == []
    assert len(set(glyphs.choose(options))) == 1000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 1}, "classes: 1 must be at least 2"),
        ({"train": 0}, "train: 0 must be at least 1"),
        ({"size": 4}, "size: 4 must be from 8 to 128"),
        ({"seed": -1}, "seed: -1 must be at least 0"),
        ({"min_faces": 17}, "min_faces: 17 must be from 1 to 16"),
        ({"scale": 0.0}, "scale: 0.0 must be above 0.2, at most 1"),
        ({"noise": float("nan")}, "noise: nan must be from 0 to 1"),
        (
            {"classes": 1000},
            "classes: 1000 is more than the 605 letters and digits that at least "
            "min_faces: 14 of matplotlib's 16 faces can draw",
        ),
    ],
)
def test_problems(options, said):
    assert glyphs.problems(glyphs.Options(**options)) == [said]


def test_missing_fonts_are_a_problem(monkeypatch):
    monkeypatch.setattr(glyphs, "FACES", ("NoSuchFace",))
    messages = glyphs.problems(glyphs.Options(min_faces=1))
    assert len(messages) == 1
    assert "NoSuchFace.ttf is missing" in messages[0]


def test_progress_is_told():
    told = []
    options = glyphs.Options(classes=3, train=1, val=1, test=1, size=8)
    glyphs.prepare(options, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_options_that_cannot_be_met_prepare_nothing(tmp_path):
    kind = recipes.Kind("glyphs", {"classes": 1})
    with pytest.raises(DataError, match="d: classes: 1 must be at least 2"):
        datasets.prepare_dataset(job("prepare_dataset", {"dataset": "d"}, kind, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_its_character_upright_and_not_mirrored():
    """Undisturbed, an F has its ink left of the middle and above it."""
    options = glyphs.Options(classes=62, train=20, val=1, test=1, rotation=0, shear=0, shift=0)
    prepared = glyphs.prepare(dataclasses.replace(options, noise=0, contrast=1, min_faces=16))
    images, labels = prepared.splits["train"]
    names = [entry["name"] for entry in prepared.classes]
    ink = images[labels == names.index("F")].astype(float).mean((0, 1))
    assert ink[:, :16].sum() > 1.1 * ink[:, 16:].sum()
    assert ink[:16].sum() > 1.1 * ink[16:].sum()


@pytest.mark.parametrize("disturbance", ["rotation", "shear", "shift"])
def test_a_disturbance_of_zero_is_none(disturbance):
    """Alone, each one makes images of one class differ that are the same without it."""
    calm = dict.fromkeys(("rotation", "shear", "shift", "blur", "noise"), 0.0)
    options = glyphs.Options(classes=2, train=60, val=1, test=1, scale=1.0, contrast=1.0, **calm)
    full = glyphs.Options()
    variants = []
    for value in (0.0, getattr(full, disturbance)):
        chosen = dataclasses.replace(options, **{disturbance: value})
        images = glyphs.prepare(chosen).splits["train"][0]
        variants.append(len(np.unique(images.reshape(len(images), -1), axis=0)))
    assert variants[0] <= 2 * len(glyphs.FACES)
    assert variants[1] > 100


def test_splits_of_one_size_share_no_image():
    options = glyphs.Options(classes=4, train=6, val=6, test=6)
    images = np.concatenate([images for images, _ in glyphs.prepare(options).splits.values()])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images) == 72
