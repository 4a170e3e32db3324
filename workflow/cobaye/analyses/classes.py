"""The effects of λ on each class, beside those of chance (S0.13), from every image's loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cobaye import recipes
from cobaye.analyses import _axes, _class_choices, _class_effects, _sweeps
from cobaye.analyses._sweep_view import View
from cobaye.data import datasets, typical_images
from cobaye.recipes import axes
from cobaye.storage.jobs import Job

READS_RUNS = ("predictions.parquet",)
# For images of typical test rows.
SPLITS = ("test",)
OVER = {
    "epoch": {
        "READS_TABLES": ("best-lambda",),
        "READS_RUNS": ("checkpoints",),
        "SPLITS": ("train", "val", "test"),
    },
    "learning_rate": {},
    "augmentation": {},
    "plane": {},
}
TABLES = {
    "class-effects": "class-effects.csv",
    "class-inference": "class-inference.csv",
    "class-tests": "class-tests.csv",
    "null-best-lambda": "null-best-lambda.csv",
    "compromise": "compromise.csv",
    "class-gains": "class-gains.csv",
    "shrunk-curves": "shrunk-curves.csv",
    "helped-harmed": "helped-harmed.csv",
    "worst-classes": "worst-classes.csv",
    "worst-pairs": "worst-pairs.csv",
    "typical-images": "typical-images.parquet",
}


@dataclass(frozen=True)
class Options(axes.Over):
    """The axes, the draws, the intervals, and what is compared and shown."""

    #: Draws of each bootstrap. A split that would take more than 2·10⁸ images in all gets fewer
    #: draws, and the table states how many.
    draws: int = 2000
    #: Random halvings of each class's images.
    splits: int = 200
    #: Level of all intervals and bands. A class is named where its adjusted p-value is below 1 −
    #: `level`.
    level: float = 0.95
    #: Seed of all draws.
    seed: int = 0
    #: The λ, as text, that the best one is compared with, class by class (`helped-harmed`); `""`:
    #: the smallest, as on any other axis than λ.
    against: str = ""
    #: Number of classes at each end whose typical images are kept for the figure `helped-harmed`.
    shown: int = 4

    def __post_init__(self):
        if self.draws < 100 or self.splits < 20:
            raise ValueError("draws: at least 100; splits: at least 20")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0 or self.shown < 0:
            raise ValueError("seed and shown: not below 0")


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the tables of the classes of a study."""
    data = recipes.parse(recipes.Data, job.recipe["data"])
    job.read("prepare_dataset", {"dataset": data.dataset})
    names = datasets.names(data.dataset, job.root)
    sweeps = _axes.sweeps(job, options.epochs)
    return tables(sweeps, names, options, typical_images.reader(data, "test", job.root))


def tables(
    sweeps: Sequence[_sweeps.Sweep],
    names: Sequence[str],
    options: Options,
    image: Callable[[int], np.ndarray | None],
) -> dict[str, pd.DataFrame]:
    """Return all tables, by name. image: from a row of the test split to its image, or None."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for sweep in sweeps:
        view = View(sweep, list(names), options.draws, options.splits, options.level, options.seed)
        for name, table in _of(view, options, image).items():
            parts[name].append(table)
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return {
        name: pd.concat(frames, ignore_index=True) if frames else empty
        for name, frames in parts.items()
    }


def _of(
    view: View, options: Options, image: Callable[[int], np.ndarray | None]
) -> dict[str, pd.DataFrame]:
    per_lambda, overall = _class_effects.inference(view)
    ranked = _class_choices.helped_harmed(view, options.against)
    return {
        "class-effects": _class_effects.class_effects(view),
        "class-inference": per_lambda,
        "class-tests": overall,
        "null-best-lambda": _class_effects.null_counts(view),
        "compromise": _class_choices.compromise(view),
        "class-gains": _class_choices.class_gains(view),
        "shrunk-curves": _class_choices.shrunk_curves(view),
        "helped-harmed": ranked,
        "worst-classes": _class_effects.worst_classes(view),
        "worst-pairs": _class_effects.worst_pairs(view),
        "typical-images": _class_choices.typical_images(view, ranked, options.shown, image),
    }
