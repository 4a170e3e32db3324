"""Pictures of the training images, as they are and as augmentation changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from cobaye import recipes
from cobaye.data import datasets, typical_images
from cobaye.randomness import derived_seed
from cobaye.storage import paths
from cobaye.storage.arrays import load_array
from cobaye.storage.jobs import Job
from cobaye.training.augmentations import Augmentation

READS_RUNS = ()
READS_AUGMENTATIONS = True
INPUT = "images"
TABLES = {"samples": "samples.parquet"}

_COLUMNS = [
    *("version", "class", "name", "place", "image", "height", "width", "channels", "pixels"),
]


@dataclass(frozen=True)
class Options:
    """Which images."""

    #: Classes, spread evenly over the labels.
    classes: int = 10
    #: Images of each class.
    images: int = 4
    #: Seed of the draw of images, and of what augmentation draws.
    seed: int = 0

    def __post_init__(self):
        for name in ("classes", "images"):
            if not 1 <= getattr(self, name) <= 30:
                raise ValueError(f"{name}: {getattr(self, name)} is not in 1 to 30")
        if self.seed < 0:
            raise ValueError("seed: not below 0")


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the table `samples`: a row per picture.

    job.recipe["augment"]: optimizer → its augmentations. version: "" for the images as they are,
    otherwise the optimizers that have one list of augmentations. place: from 0, within a class.
    image: the row of the training split. pixels: bytes of (height, width, channels) uint8.
    """
    data = recipes.Data(job.recipe["data"]["dataset"], None)
    manifest = job.read("prepare_dataset", {"dataset": data.dataset})
    names = datasets.names(data.dataset, job.root)
    folder = job.root / paths.DATASET.format(dataset=data.dataset)
    labels = load_array(manifest.check(folder, "train/labels.npy"))
    image = typical_images.reader(data, "train", job.root)
    rows = list(_rows(names, np.asarray(labels), image, versions(job.recipe["augment"]), options))
    return {"samples": pd.DataFrame(rows, columns=_COLUMNS)}


def versions(augment: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[recipes.Kind]]:
    """Return name → augmentations, one entry for optimizers that have the same; "" has none."""
    shared: dict[str, tuple[list[str], list[recipes.Kind]]] = {}
    for optimizer, asked in augment.items():
        steps = [recipes.parse(recipes.Kind, each) for each in asked]
        shared.setdefault(repr(steps), ([], steps))[0].append(optimizer)
    return {"": []} | {", ".join(optimizers): steps for optimizers, steps in shared.values()}


def drawn(labels: np.ndarray, options: Options) -> dict[int, np.ndarray]:
    """Return class → rows of its images, drawn by the seed; classes are spread over the labels."""
    known = np.unique(labels)
    places = np.linspace(0, len(known) - 1, min(options.classes, len(known))).round().astype(int)
    generator = np.random.default_rng(options.seed)
    return {
        int(label): generator.permutation(np.flatnonzero(labels == label))[: options.images]
        for label in known[places]
    }


def _rows(
    names: Sequence[str],
    labels: np.ndarray,
    image: Callable[[int], np.ndarray | None],
    asked: Mapping[str, list[recipes.Kind]],
    options: Options,
) -> Iterator[tuple[Any, ...]]:
    for label, rows in drawn(labels, options).items():
        for place, row in enumerate(rows):
            pixels = image(int(row))
            for version, steps in asked.items() if pixels is not None else ():
                seed = derived_seed("samples", options.seed, int(row))
                shown = augmented(pixels, steps, seed)
                where = (version, label, names[label], place, int(row))
                yield (*where, *shown.shape, shown.tobytes())


def augmented(pixels: np.ndarray, steps: Sequence[recipes.Kind], seed: int) -> np.ndarray:
    """Return an image (height, width, channels) uint8, changed as in training."""
    if not steps:
        return np.ascontiguousarray(pixels)
    batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
    changed = Augmentation(steps)(batch, seed)[0].permute(1, 2, 0)
    return changed.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
