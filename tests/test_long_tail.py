"""A long tail has the sizes of its formula, and changes the training classes alone."""

from __future__ import annotations

import numpy as np
import pytest

from cobaye import recipes
from cobaye.data import datasets
from cobaye.data.datasets import ImageFiles, Prepared, SelectedRows, _long_tail
from cobaye.errors import DataError
from tests.jobs import job


def counts(labels, classes):
    return np.bincount(labels, minlength=classes)


def test_sizes_are_those_of_cifar_100_lt():
    found = _long_tail.sizes(np.full(100, 500), recipes.LongTail(100.0))
    falling = np.sort(found)[::-1]
    # The sizes that the code of Cui et al. makes: int(500 · 0.01 ** (c / 99)).
    assert falling.tolist() == [int(500 * 0.01 ** (c / 99.0)) for c in range(100)]
    assert falling[[0, -1]].tolist() == [500, 5]
    assert found.sum() == 10_847
    assert (np.diff(found) > 0).sum() > 30  # not in the order of the labels


def test_a_class_that_has_fewer_keeps_all_and_none_is_empty():
    has = np.array([100, 3, 100, 2, 100])
    found = _long_tail.sizes(has, recipes.LongTail(1e6))
    assert (found >= 1).all()
    assert (found <= has).all()
    assert found.tolist() != has.tolist()
    mild = _long_tail.sizes(has, recipes.LongTail(1.0001))
    assert set(mild[has == 100]) <= {99, 100}
    assert mild[has < 100].tolist() == [3, 2]


def data(inputs=None, classes=4, each=12):
    labels = np.tile(np.arange(classes), each)
    rows = np.arange(len(labels), dtype=np.float32)[:, None]
    small = np.zeros((classes, 1), np.float32), np.arange(classes)
    names = [{"name": str(label)} for label in range(classes)]
    train = rows if inputs is None else inputs(len(labels))
    return Prepared(names, {"train": (train, labels), "val": small, "test": small})


def read(inputs):
    if isinstance(inputs, ImageFiles):
        return [float(path) for path in inputs.paths]
    return inputs[:][:, 0].tolist()


def two_sources(count):
    rows = np.arange(2 * count, dtype=np.float32)[:, None]
    return SelectedRows({"a": rows[:count], "b": rows[count:]}, np.arange(count) * 2)


@pytest.mark.parametrize(
    ("inputs", "factor"),
    [
        (None, 1),
        (lambda count: ImageFiles("", [str(n) for n in range(count)]), 1),
        (two_sources, 2),
    ],
    ids=["array", "files", "selected rows"],
)
def test_images_keep_their_labels_and_order(inputs, factor):
    whole = data(inputs)
    made = _long_tail.thinned(whole, recipes.LongTail(4.0))
    kept, labels = made.splits["train"]
    places = np.array(read(kept)) / factor
    assert (np.diff(places) > 0).all()
    assert labels.tolist() == (places % 4).tolist()
    assert sorted(counts(labels, 4)) == [3, 4, 7, 12]
    assert all(made.splits[split] is whole.splits[split] for split in ("val", "test"))


def test_a_steeper_tail_keeps_some_of_the_same_images_and_a_seed_others():
    def kept(imbalance, seed=0):
        return set(
            read(_long_tail.thinned(data(), recipes.LongTail(imbalance, seed)).splits["train"][0])
        )

    assert kept(8.0) < kept(2.0)
    assert kept(8.0) == kept(8.0)
    assert len({tuple(sorted(kept(8.0, seed))) for seed in range(4)}) == 4


def test_a_dataset_is_prepared_with_its_tail(tmp_path):
    options = {"classes": 4, "train": 8, "val": 2, "test": 3, "size": 8}
    for name, tail in (("whole", None), ("thinned", recipes.LongTail(8.0))):
        source = recipes.Source("glyphs", options, tail)
        datasets.prepare_dataset(job("prepare_dataset", {"dataset": name}, source, tmp_path))
    images = datasets.manifest("thinned", tmp_path).info["images"]
    assert images == {"train": 8 + 4 + 2 + 1, "val": 8, "test": 12}
    for split in ("val", "test"):
        same = [
            (tmp_path / f"resources/datasets/{name}/{split}/images.npy").read_bytes()
            for name in ("whole", "thinned")
        ]
        assert same[0] == same[1]


def test_a_dataset_without_a_tail_keeps_its_fingerprint():
    options = {"classes": 4}
    assert recipes.plain(recipes.Source("glyphs", options)) == recipes.plain(
        recipes.Kind("glyphs", options)
    )


def test_labels_that_are_no_classes_are_refused():
    whole = data()
    whole.splits["train"] = (whole.splits["train"][0], whole.splits["train"][1] - 1)
    with pytest.raises(DataError, match="labels from -1"):
        _long_tail.thinned(whole, recipes.LongTail(2.0))
