"""Augmentations do what torchvision's do, are as likely as they say, and resume exactly."""

from __future__ import annotations

import dataclasses
import functools
import shutil

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from cobaye import kinds
from cobaye.errors import DataError
from cobaye.storage import files
from cobaye.training.augmentations import (
    Augmentation,
    _images,
    colour,
    crop,
    resized_crop,
    rotation,
    zoom,
)
from tests import test_training as base
from tests.examples import example

root = base.root
kind = functools.partial(example, "augmentations")


def batch(count=50, shape=(3, 6, 6), seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=g, dtype=torch.uint8)


def applied(images, *asked, seed=0):
    return Augmentation(asked)(images, seed)


@pytest.mark.parametrize("name", kinds.names("augmentations"))
@pytest.mark.parametrize("shape", [(3, 6, 6), (3, 5, 8)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_is_a_function_of_image_and_seed_and_leaves_its_input(name, shape, dtype):
    images, asked = batch(shape=shape).to(dtype), kind(name)
    before, state = images.clone(), torch.get_rng_state()
    first, again, other = (applied(images, asked, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert first.dtype in (dtype, torch.float32)
    assert first.data_ptr() != images.data_ptr()
    assert first.min() >= 0
    assert 128 < first.max() <= 255
    # Each image has a draw of its own, and does not depend on the others.
    same = images[:1].expand_as(images)
    drawn = applied(same, asked, seed=1)
    assert len(drawn.flatten(1).unique(dim=0)) > 1
    torch.testing.assert_close(drawn[0], first[0], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("name", "dim"), [("horizontal-flip", 3), ("vertical-flip", 2)])
def test_flips(name, dim):
    images = batch()
    always = kind(name, probability=1.0)
    assert torch.equal(applied(images, always), images.flip(dim))
    assert torch.equal(applied(images, always, always), images)
    assert torch.equal(applied(images, kind(name, probability=0.0)), images)


@pytest.mark.parametrize("probability", [0.5, 0.2])
def test_the_share_of_flipped_images(probability):
    images = batch(4000, (1, 2, 2))
    images[:, 0, :, 0], images[:, 0, :, 1] = 0, 1
    found = applied(images, kind("horizontal-flip", probability=probability))
    share = (found[:, 0, 0, 0] == 1).double().mean().item()
    assert share == pytest.approx(
        probability, abs=4 * (probability * (1 - probability) / 4000) ** 0.5
    )


def test_a_crop_without_a_border_is_the_image():
    images = batch()
    assert torch.equal(applied(images, kind("crop", padding=0)), images)


@pytest.mark.parametrize(
    ("fill", "mode"), [("zero", "constant"), ("edge", "edge"), ("reflect", "reflect")]
)
@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 5, 8)])
def test_crops_are_those_of_numpy(fill, mode, shape):
    images = batch(40, shape)
    g = torch.Generator().manual_seed(0)
    places = torch.randint(5, (2, 40), generator=g)
    found = crop.crop(images, places, 2, fill)
    height, width = shape[1:]
    for image, made, (top, left) in zip(
        images.numpy(), found.numpy(), places.T.tolist(), strict=True
    ):
        bordered = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode=mode)
        np.testing.assert_array_equal(made, bordered[:, top : top + height, left : left + width])


def test_all_places_of_a_crop_are_as_likely():
    """χ² of the counts of 25 places in 5,000 crops: 24 degrees of freedom, 99.9 % below 51.2."""
    images = torch.zeros(5000, 1, 5, 5, dtype=torch.uint8)
    images[:, 0, 2, 2] = 1
    found = applied(images, kind("crop", padding=2))
    counts = found.sum((0, 1)).double()
    assert counts.sum() == 5000
    assert ((counts - 200) ** 2 / 200).sum() < 51.2


@pytest.mark.parametrize("fill", ["zero", "edge", "reflect"])
@pytest.mark.parametrize("turns", [-1, 0, 1, 2])
def test_a_rotation_by_right_angles_is_rot90(turns, fill):
    images = batch().float()
    found = rotation.rotate(images, torch.full((50,), 90.0 * turns), fill)
    torch.testing.assert_close(found, images.rot90(turns, (2, 3)), rtol=0, atol=1e-2)


def test_rotation_of_an_image_that_is_not_square_is_torchvisions():
    images = batch(shape=(3, 5, 8)).float()
    angles = torch.linspace(-80, 80, 50)
    found = rotation.rotate(images, angles, "zero")
    for image, made, angle in zip(images, found, angles.tolist(), strict=True):
        bilinear = functional.InterpolationMode.BILINEAR
        expected = functional.rotate(image, angle, interpolation=bilinear)
        # Only inside: torchvision blends the border with its fill in its own way.
        torch.testing.assert_close(made[:, 1:-1, 3:5], expected[:, 1:-1, 3:5], rtol=0, atol=0.1)


def test_angles_and_factors_are_uniform_in_their_ranges():
    images = torch.zeros(20000, 1, 1, 1)
    drawn = _images.uniform(images, -15.0, 15.0, torch.Generator().manual_seed(0))
    assert -15 <= drawn.min() < -14.9
    assert 14.9 < drawn.max() < 15
    assert drawn.mean().abs() < 4 * 30 / 12**0.5 / 20000**0.5
    assert drawn.std() == pytest.approx(30 / 12**0.5, rel=0.02)


def test_zoom_by_one_is_the_image_and_by_two_shows_its_middle():
    images = batch(shape=(3, 8, 8)).float()
    same = zoom.zoom(images, torch.ones(50), "zero")
    torch.testing.assert_close(same, images, rtol=0, atol=1e-2)
    smooth = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8) * 10
    # From the centre, 3.5 pixels in, at half the distance.
    expected = (3.5 + (torch.arange(8.0) - 3.5) / 2) * 10
    found = zoom.zoom(smooth, torch.tensor([2.0]), "zero")
    torch.testing.assert_close(found, expected.expand(1, 1, 8, 8), rtol=0, atol=1e-3)
    half = zoom.zoom(torch.full((1, 1, 8, 8), 9.0), torch.tensor([0.5]), "zero")
    assert (half[0, 0, 2:6, 2:6] == 9).all()
    assert half[0, 0, 0].abs().max() == 0


def test_a_crop_of_a_share_is_torchvisions():
    """Quarters of the image, enlarged; at inner edges theirs ends where ours sees on."""
    images = batch(4, shape=(3, 8, 12)).float()
    corners = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
    found = resized_crop.crop(images, torch.full((4,), 0.5), corners)
    for number, (image, made) in enumerate(zip(images, found, strict=True)):
        top, left = 4 * (number // 2), 6 * (number % 2)
        theirs = functional.resized_crop(image, top, left, 4, 6, [8, 12], antialias=False)
        torch.testing.assert_close(made[:, 1:-1, 1:-1], theirs[:, 1:-1, 1:-1], rtol=0, atol=1e-3)
    whole = applied(images, kind("resized-crop", scale=1.0))
    torch.testing.assert_close(whole, images, rtol=0, atol=1e-3)


def test_crops_of_a_share_lie_inside_and_their_areas_are_uniform():
    """Of an image of its own x, a crop shows its side (how fast x changes) and its place."""
    ramp = torch.arange(16.0).expand(5000, 1, 16, 16)
    made = applied(ramp, kind("resized-crop", scale=0.2))[:, 0]
    sides = (made[:, 8, 12] - made[:, 8, 4]) / 8
    areas = sides.square()
    assert 0.199 < areas.min() < 0.21
    assert 0.99 < areas.max() <= 1.0001
    assert areas.mean() == pytest.approx(0.6, abs=4 * 0.8 / 12**0.5 / 5000**0.5)
    middles = (made[:, 8, 7] + made[:, 8, 8]) / 2
    small = sides < 0.5
    reach = (middles - 7.5)[small] / (8 * (1 - sides[small]))
    assert reach.abs().max() <= 1.001
    assert reach.std() == pytest.approx(2 / 12**0.5, rel=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("change", "theirs"),
    [
        (colour.brighten, functional.adjust_brightness),
        (colour.contrast, functional.adjust_contrast),
        (colour.saturate, functional.adjust_saturation),
    ],
)
def test_colours_are_torchvisions(change, theirs, channels):
    images = batch(shape=(channels, 6, 6)).float()
    if channels == 1 and change is colour.saturate:
        with pytest.raises(DataError, match="saturation: images of 1 channels"):
            change(images, torch.ones(50))
        return
    factors = torch.linspace(0, 2, 50)
    found = change(images, factors)
    for image, made, factor in zip(images / 255, found / 255, factors.tolist(), strict=True):
        torch.testing.assert_close(made, theirs(image, factor), rtol=0, atol=1e-5)


def test_a_colour_that_is_not_asked_for_is_left():
    images = batch()
    only = applied(images, kind("colour", brightness=0.5))
    ratio = (only / images.float().clamp(min=1))[images > 0]
    # Dark images are scaled as a whole; where they are cut at 255 the ratio is smaller.
    assert ratio.max() <= 1.5
    assert 0.5 <= ratio.min() < 0.6
    # A factor is never below 0, which would leave an image black.
    assert (applied(images, kind("colour", brightness=3.0)).flatten(1).amax(1) > 0).all()
    first = applied(images // 4, kind("colour", brightness=0.5))[0] / (images[0] // 4).float()
    assert first.nan_to_num(first.nanmean()).std() < 1e-4


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("crop", {"padding": -1}),
        ("horizontal-flip", {"probability": 1.5}),
        ("vertical-flip", {"probability": -0.5}),
        ("rotation", {"degrees": 200.0}),
        ("resized-crop", {"scale": 0.0}),
        ("resized-crop", {"scale": 1.1}),
        ("zoom", {"low": 0.0}),
        ("zoom", {"low": 1.2, "high": 1.1}),
        ("colour", {"brightness": -0.1}),
        ("colour", {}),
    ],
)
def test_options_out_of_range_are_refused(name, given):
    with pytest.raises(ValueError, match=next(iter(given), "must be above 0")):
        kinds.options("augmentations", name)(**given)


GREY = [kind(name) for name in ("crop", "horizontal-flip", "resized-crop", "rotation", "zoom")]
GREY.append(kind("colour", brightness=0.2, contrast=0.2))
AUGMENTED = dataclasses.replace(
    base.TRAINING,
    engine="network",
    optimizer=dataclasses.replace(base.OPTIMIZER, augment=tuple(GREY)),
)


def seen(root, monkeypatch, recipe=AUGMENTED, **identity):
    """Train; return the folder and the augmented batches in the order in which they were made."""
    made, call = [], Augmentation.__call__

    def noted(self, images, seed):
        found = call(self, images, seed)
        made.append((seed, found.clone()))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Augmentation, "__call__", noted)
        folder, _ = base.train(root, recipe, **identity)
    return folder, made


def test_each_batch_of_each_epoch_of_each_seed_has_its_own_draws(root, monkeypatch):
    _, first = seen(root, monkeypatch)
    _, again = seen(root, monkeypatch, model="again")
    _, other = seen(root, monkeypatch, dataclasses.replace(AUGMENTED, seed=1), seed=1)
    # 90 images by 16: 6 batches in each of 4 epochs.
    seeds = [seed for seed, _ in first]
    assert len(set(seeds)) == len(seeds) == 24
    assert not set(seeds) & {seed for seed, _ in other}
    for (seed, images), (same, copy) in zip(first, again, strict=True):
        assert seed == same
        assert torch.equal(images, copy)


def test_an_augmented_run_that_is_interrupted_ends_the_same(root):
    folder, _ = base.train(root, AUGMENTED)
    expected = base.products(folder)
    shutil.rmtree(folder)
    base.interrupt(root, AUGMENTED)
    base.train(root, AUGMENTED)
    assert files.read_json(folder / "run.json")["resumed_from"] == [2]
    assert base.products(folder) == expected
    plain = dataclasses.replace(AUGMENTED, optimizer=base.OPTIMIZER)
    other, _ = base.train(root, plain, model="plain")
    assert not torch.equal(
        base.weights(folder, 4)["head.weight"], base.weights(other, 4)["head.weight"]
    )


def test_images_are_changed_before_they_are_normalised(root, monkeypatch):
    _, made = seen(root, monkeypatch)
    images = torch.cat([images for _, images in made])
    assert images.min() >= 0
    assert images.max() > 100
