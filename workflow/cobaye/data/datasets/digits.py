"""The 1,797 handwritten 8×8 digits that ship inside scikit-learn: real, and always at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cobaye.data.datasets import Prepared

FEWEST = 174  # images of a digit: of the eights


@dataclass(frozen=True)
class Options:
    """Shares of the images, and the draw."""

    #: Share of the images in the validation split, drawn within each class.
    val: float = 0.2
    #: Share of the images in the test split, drawn within each class. The other images are train.
    test: float = 0.3
    #: Seed of the draw.
    seed: int = 0
    #: Whether the validation images are trained on too. Validation then tells nothing about new
    #: images.
    val_in_train: bool = False

    def sizes(self) -> dict[str, object]:
        """Return the size of the data, each split as if it had all images."""
        images = dict.fromkeys(("train", "val", "test"), 1797)
        return {"images": images, "shape": (1, 8, 8), "classes": 10}


def problems(options: Options) -> list[str]:
    """Return what would stop `prepare`, one sentence each."""
    sentences = [
        f"{key}: {share!r} must be a share above 0 and below 1, of at least one image per digit"
        for key, share in (("val", options.val), ("test", options.test))
        if not 0 < share < 1 or round(share * FEWEST) == 0
    ]
    if not sentences and round(options.val * FEWEST) + round(options.test * FEWEST) >= FEWEST:
        sentences.append(
            f"val: {options.val!r} and test: {options.test!r} leave nothing for train: "
            "their sum must be below 1"
        )
    if options.seed < 0:
        sentences.append(f"seed: {options.seed!r} must be at least 0")
    return sentences


def prepare(options: Options, progress: Callable[[int, int], None] | None = None) -> Prepared:
    """Return images (N, 1, 8, 8) uint8 with values 0 to 16, split class by class."""
    from sklearn.datasets import load_digits  # a second of imports, for this kind alone

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    generator = np.random.default_rng(options.seed)
    rows: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for digit in range(10):
        shuffled = generator.permutation(np.flatnonzero(labels == digit))
        val, test = (round(share * len(shuffled)) for share in (options.val, options.test))
        pieces = np.split(shuffled, [val, val + test])
        for split, piece in zip(("val", "test", "train"), pieces, strict=True):
            rows[split].append(piece)
    if options.val_in_train:
        rows["train"] += rows["val"]
    splits = {split: np.sort(np.concatenate(pieces)) for split, pieces in rows.items()}
    return Prepared(
        classes=[{"name": str(digit)} for digit in range(10)],
        splits={split: (images[index], labels[index]) for split, index in splits.items()},
    )
