"""The rules of splits take the images that they say, each once, or are refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cobaye.data.datasets._partition import divide, problems
from cobaye.errors import DataError

LAST = {"train": {"of": "train"}, "val": {"of": "train", "last": 10}, "test": {"of": "test"}}


def labels_of(**counts):
    return {part: np.arange(count) % 10 for part, count in counts.items()}


def sizes(rows):
    return {split: len(index) for split, index in rows.items()}


def assert_partition(rows, total):
    every = np.concatenate(list(rows.values()))
    assert len(np.unique(every)) == len(every)
    assert every.min() >= 0
    assert every.max() < total
    assert all((np.diff(index) > 0).all() for index in rows.values())


def test_official_splits():
    official = {split: {"of": split} for split in ("train", "val", "test")}
    rows = divide(labels_of(test=3, train=5, val=2), official)
    assert {split: index.tolist() for split, index in rows.items()} == {
        "test": [0, 1, 2],
        "train": [3, 4, 5, 6, 7],
        "val": [8, 9],
    }


def test_the_last_rows_as_in_the_thesis():
    rows = divide(
        {"train": np.arange(50_000) % 10, "test": np.arange(10_000) % 10},
        {**LAST, "val": {"of": "train", "last": 10_000}},
    )
    assert np.array_equal(rows["train"], np.arange(40_000))
    assert np.array_equal(rows["val"], np.arange(40_000, 50_000))
    assert np.array_equal(rows["test"], np.arange(50_000, 60_000))


def test_a_fraction_with_a_seed():
    def rows(seed):
        rule = {"of": "train", "fraction": 0.2, "seed": seed}
        return divide(labels_of(train=100, test=10), {**LAST, "val": rule})

    first = rows(0)
    assert sizes(first) == {"train": 80, "val": 20, "test": 10}
    assert_partition(first, 110)
    assert np.array_equal(first["val"], rows(0)["val"])
    assert not np.array_equal(first["val"], rows(1)["val"])


def test_the_official_splits_pooled():
    pooled = {"of": ["train", "test"]}
    splits = {
        "test": {**pooled, "fraction": 0.1},
        "val": {**pooled, "fraction": 0.18},
        "train": pooled,
    }
    rows = divide(labels_of(train=60_000, test=10_000), splits)
    assert sizes(rows) == {"train": 50_400, "val": 12_600, "test": 7_000}
    assert_partition(rows, 70_000)
    # Each official part gave its share, and the order of the config's keys changes nothing.
    assert 800 < np.count_nonzero(rows["test"] >= 60_000) < 1200
    again = divide(labels_of(train=60_000, test=10_000), dict(reversed(splits.items())))
    assert all(np.array_equal(rows[split], again[split]) for split in rows)


def test_training_and_test_images_alone():
    """S3.1: 63,000 and 7,000 of the pooled 70,000; what is validated on is learned too."""
    pooled = {"of": ["train", "test"]}
    splits = {
        "test": {**pooled, "fraction": 0.1},
        "val": {**pooled, "fraction": 0.1, "in_train": True},
        "train": pooled,
    }
    labels = labels_of(train=60_000, test=10_000)
    rows = divide(labels, splits)
    assert sizes(rows) == {"train": 63_000, "val": 7_000, "test": 7_000}
    assert_partition({split: rows[split] for split in ("train", "test")}, 70_000)
    assert np.isin(rows["val"], rows["train"]).all()
    assert len(np.unique(rows["val"])) == 7_000
    # The test images are those of the split with validation images of its own.
    apart = divide(labels, {**splits, "val": {**pooled, "fraction": 0.18}})
    assert np.array_equal(rows["test"], apart["test"])


def test_what_is_validated_on_does_not_change_what_is_reported_on():
    def test_rows(share):
        splits = {
            "test": {"of": "all", "fraction": 0.3},
            "val": {"of": "all", "fraction": share},
            "train": {"of": "all"},
        }
        return divide(labels_of(all=1000), splits)["test"]

    assert np.array_equal(test_rows(0.1), test_rows(0.4))


def test_the_official_validation_set_cut_in_two():
    labels = {"train": np.repeat(np.arange(100), 3), "val": np.tile(np.arange(100), 50)}
    splits = {
        "train": {"of": "train"},
        "val": {"of": "val", "fraction": 0.5, "stratified": True},
        "test": {"of": "val"},
    }
    rows = divide(labels, splits)
    every = np.concatenate(list(labels.values()))
    assert_partition(rows, 5300)
    for split in ("val", "test"):
        assert np.bincount(every[rows[split]]).tolist() == [25] * 100


def test_last_and_fraction_of_one_part():
    splits = {
        "train": {"of": "all"},
        "val": {"of": "all", "fraction": 0.25},
        "test": {"of": "all", "last": 40},
    }
    rows = divide(labels_of(all=100), splits)
    assert sizes(rows) == {"train": 35, "val": 25, "test": 40}
    assert np.array_equal(rows["test"], np.arange(60, 100))
    assert_partition(rows, 100)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"val": {"of": "trian", "last": 5}}, "no part 'trian': did you mean 'train'?"),
        ({"val": {"of": "train", "last": 5, "in_train": True}}, "in_train: True must be true or"),
        ({"val": {"of": "train", "fraction": 0.1, "in_train": 1}}, "in_train: 1 must be true or"),
        ({"val": {"of": "test", "fraction": 0.5, "in_train": True}}, "other splits leave 0"),
        (
            {"test": {"of": "test", "fraction": 0.5, "in_train": True}},
            "test.in_train: only val may",
        ),
        ({"val": {"of": "train", "last": 31}}, "splits.val.last: 31 is more than the 30 images of"),
        ({"val": {"of": "train", "last": 30}}, "splits.train: no image is left for it"),
        ({"val": {"of": "train", "fraction": 0.001}}, "splits.val: no image is left for it"),
        (
            {"val": {"of": "test"}},
            "splits.val and splits.test both take all that is left of 'test'",
        ),
        (
            {"val": {"of": "train", "last": 9}, "train": {"of": "train", "last": 25}},
            "splits.val: overlapping claims: 9 of the 9 images it takes are those of splits.train",
        ),
        (
            {"val": {"of": "test", "fraction": 0.7}, "test": {"of": "test", "fraction": 0.6}},
            "splits.val.fraction: 0.7 is 7 images, but the other splits leave 4",
        ),
        (
            {
                "val": {"of": "test", "fraction": 0.6, "stratified": True},
                "test": {"of": "test", "last": 1},
            },
            "splits.val.fraction: 0.6 is 1 images of class 9, but the other splits leave 0",
        ),
    ],
)
def test_what_the_data_do_not_allow_is_refused(changes, said):
    with pytest.raises(DataError, match=re.escape(said)):
        divide(labels_of(train=30, test=10), {**LAST, **changes})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "splits.val.of: None must be a part"),
        ({"of": []}, "splits.val.of: [] must be a part"),
        ({"of": ["train", "train"]}, "must be a part, or a list of different parts"),
        ({"of": "train", "lsat": 3}, "splits.val.lsat: unknown key: did you mean 'last'?"),
        ({"of": "train", "last": 0}, "splits.val.last: 0 must be a number of images"),
        ({"of": "train", "last": True}, "splits.val.last: True must be"),
        ({"of": "train", "fraction": 1}, "splits.val.fraction: 1 must be above 0 and below 1"),
        ({"of": "train", "fraction": float("nan")}, "splits.val.fraction: nan must be"),
        ({"of": "train", "fraction": "1e-1"}, "splits.val.fraction: '1e-1' must be"),
        ({"of": "train", "fraction": 0.5, "last": 3}, "give last or fraction, not both"),
        ({"of": "train", "fraction": 0.5, "seed": -1}, "splits.val.seed: -1 must be"),
        ({"of": "train", "last": 3, "seed": 1}, "splits.val.seed: 1 must be"),
        ({"of": "train", "fraction": 0.5, "stratified": 1}, "splits.val.stratified: 1 must be"),
    ],
)
def test_a_rule_without_sense_is_refused(rule, said):
    found = problems({**LAST, "val": rule}, ("train", "test"))
    assert len(found) == 1
    assert said in found[0]


def test_every_split_is_named_once():
    (unknown, missing) = problems(
        {"train": {"of": "train"}, "valid": {"of": "val"}, "test": {"of": "test"}}, None
    )
    assert "splits.valid: there is no such split: did you mean 'val'?" in unknown
    assert "splits.val: missing" in missing
