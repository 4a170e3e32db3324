"""What λ does to a class, and what chance does (S0.13): inference from every image's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cobaye import recipes
from cobaye.analyses import _class_choices, _class_effects, _sweeps, _typical_images
from cobaye.analyses._sweep_view import View
from cobaye.data import datasets
from cobaye.storage import files, paths
from cobaye.tables import writing

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
class Options:
    """What a study may set.

    draws: of bootstraps and permutations. splits: random halves. level: of all intervals. against:
    the λ that the best overall is compared with, class by class; "": the smallest. shown: classes
    of each end that images are kept of.
    """

    draws: int = 2000
    splits: int = 200
    level: float = 0.95
    seed: int = 0
    against: str = ""
    shown: int = 4

    def __post_init__(self):
        if self.draws < 100 or self.splits < 20:
            raise ValueError("draws: at least 100; splits: at least 20")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0 or self.shown < 0:
            raise ValueError("seed and shown: not below 0")


def analyse(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    data: Mapping[str, Any],
    expected: Mapping[str, tuple[str, str]],
    root: Path = Path(),
) -> Path:
    """Analyse the classes of a study; return the manifest.

    recipe: {"options", "runs"}, the identities of the runs in the order of the config. data: what
    the study learns from, `recipes.Data` as a dict. expected: as in `runs.finished`.
    """
    learned = recipes.parse(recipes.Data, data)
    place = paths.DATASET.format(dataset=learned.dataset)
    names = datasets.names(learned.dataset, root)
    inputs = {f"{place}/manifest.json": files.sha256(root / place / "manifest.json")}
    sweeps = _sweeps.sweeps(identity, recipe["runs"], expected, inputs, root)
    options = Options(**recipe["options"])
    made = tables(sweeps, names, options, _typical_images.reader(learned, "test", root))
    told = {"identity": identity, "recipe": recipe, "code": code}
    return writing.write("classes", told, inputs, made, root)


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
        name: pd.concat(found, ignore_index=True) if found else empty
        for name, found in parts.items()
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
