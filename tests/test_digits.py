"""The dataset `digits` is scikit-learn's, each image in one split, classes in equal shares."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cobaye.data.datasets import digits


@pytest.fixture(scope="module")
def prepared():
    return digits.prepare(digits.Options())


def test_arrays(prepared):
    images = np.concatenate([images for images, _ in prepared.splits.values()])
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert {labels.dtype for _, labels in prepared.splits.values()} == {np.dtype(np.int64)}
    assert [entry["name"] for entry in prepared.classes] == [str(digit) for digit in range(10)]


def test_every_image_is_in_one_split(prepared):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    expected = sorted(zip(bunch.data.astype(int).tolist(), bunch.target, strict=True))
    found = [
        (image.ravel().tolist(), label)
        for images, labels in prepared.splits.values()
        for image, label in zip(images, labels, strict=True)
    ]
    assert sorted(found) == expected


def test_shares_hold_in_every_class(prepared):
    counts = {split: np.bincount(labels) for split, (_, labels) in prepared.splits.items()}
    total = sum(counts.values())
    for split, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        assert abs(counts[split] / total - share).max() < 0.005


def test_validation_images_may_be_trained_on(prepared):
    both = digits.prepare(digits.Options(val_in_train=True)).splits
    for split in ("val", "test"):
        np.testing.assert_array_equal(both[split][0], prepared.splits[split][0])
    images = [
        np.concatenate([prepared.splits[split][0] for split in ("train", "val")]),
        both["train"][0],
    ]
    first, second = (np.sort(each.reshape(len(each), -1).view("V64").ravel()) for each in images)
    assert (first == second).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (digits.Options(val=0.0), "val: 0.0 must be a share above 0"),
        (digits.Options(test=1.5), "test: 1.5 must be a share above 0 and below 1"),
        (digits.Options(val=0.001), "val: 0.001 must be a share .* at least one image per digit"),
        (digits.Options(val=0.5, test=0.5), "val: 0.5 and test: 0.5 leave nothing for train"),
        (digits.Options(seed=-1), "seed: -1 must be at least 0"),
    ],
)
def test_problems(options, said):
    (message,) = digits.problems(options)
    assert re.search(said, message)


def test_no_problems():
    assert digits.problems(digits.Options()) == []
    smallest = digits.Options(val=0.003, test=0.99)
    assert digits.problems(smallest) == []
    splits = digits.prepare(smallest).splits
    assert all(len(np.unique(labels)) == 10 for _, labels in splits.values())
