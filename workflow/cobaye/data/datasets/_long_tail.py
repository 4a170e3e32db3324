"""A long tail made from any dataset: its training classes thinned, val and test as they were.

With the classes in a random order c = 0 … K − 1, class c keeps n_max · IF^(−c/(K − 1)) of its
training images, rounded down, IF being the imbalance factor (Cui et al. 2019,
doi:10.1109/CVPR.2019.00949).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from cobaye import recipes
from cobaye.data.datasets._data import ImageFiles, Inputs, Prepared, check_labels
from cobaye.storage.arrays import SelectedRows


def sizes(counts: np.ndarray, long_tail: recipes.LongTail) -> np.ndarray:
    """Return how many training images each class keeps, (K,) int64: at least 1, at most its own.

    counts: (K,), how many it has. n_max is the largest of them.
    """
    order = np.random.default_rng([long_tail.seed, 0]).permutation(len(counts))
    profile = long_tail.imbalance ** (-np.arange(len(counts)) / max(len(counts) - 1, 1))
    wanted = np.empty(len(counts), np.int64)
    # The smallest of 500 images at IF = 100 is 5, whatever the rounding of the power.
    wanted[order] = np.floor(counts.max() * profile + 1e-9)
    return np.clip(wanted, 1, counts)


def thinned(prepared: Prepared, long_tail: recipes.LongTail) -> Prepared:
    """Return a dataset whose training classes keep as many images as `sizes` says.

    A class's images are drawn by a generator of its own; with a larger factor, those that it keeps
    are among those that it keeps with a smaller one. They stay in their order. Raises DataError for
    labels that are no classes.
    """
    inputs, labels = prepared.splits["train"]
    check_labels(labels, len(prepared.classes), "split 'train'")
    wanted = sizes(np.bincount(labels, minlength=len(prepared.classes)), long_tail)
    kept = [
        np.random.default_rng([long_tail.seed, 1, label]).permutation(
            np.flatnonzero(labels == label)
        )[:number]
        for label, number in enumerate(wanted)
    ]
    rows = np.sort(np.concatenate(kept))
    train = _rows(inputs, rows), labels[rows]
    return dataclasses.replace(prepared, splits={**prepared.splits, "train": train})


def _rows(inputs: Inputs, rows: np.ndarray) -> Inputs:
    if isinstance(inputs, ImageFiles):
        return ImageFiles(inputs.root, [inputs.paths[row] for row in rows])
    if isinstance(inputs, SelectedRows):
        sources = dict(zip(inputs.names, inputs.sources, strict=True))
        return SelectedRows(sources, inputs.index[rows])
    return inputs[rows]
