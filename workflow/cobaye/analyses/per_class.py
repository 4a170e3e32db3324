"""Runs with a λ for each class, judged once on test beside the best single λ (S0.14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses import _per_class_tables
from cobaye.analyses._sweeps import read_predictions
from cobaye.data import datasets
from cobaye.derived import class_decay
from cobaye.recipes.study import per_class_label
from cobaye.storage import checkpoints, files, finished_runs, paths
from cobaye.tables import reading, writing

TABLES = {"per-class": "per-class.csv", "per-class-lambda": "per-class-lambda.csv"}


@dataclass(frozen=True)
class Options:
    """What a study may set. draws: of the bootstrap. level: of all intervals."""

    draws: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self):
        if self.draws < 100:
            raise ValueError("draws: at least 100")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0:
            raise ValueError("seed: not below 0")


def analyse(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    dataset: str,
    expected: Mapping[str, tuple[str, str]],
    root: Path = Path(),
) -> Path:
    """Judge the runs with a λ for each class; return the manifest.

    recipe: {"options", "runs", "ways", "per_class_runs"}: the ways, and the identities of all runs.
    expected: as in `runs.finished`, of all of them.
    """
    place = paths.DATASET.format(dataset=dataset)
    names = datasets.names(dataset, root)
    frames, inputs = reading.read_all(identity["study"], ["best-lambda"], root)
    inputs[f"{place}/manifest.json"] = files.sha256(root / place / "manifest.json")
    study = _Study(identity, expected, inputs, root)
    chosen = {way: class_decay.read(identity["study"], way, root, inputs) for way in recipe["ways"]}
    options = Options(**recipe["options"])
    judged, lambdas = [], []
    for _, best in frames["best-lambda"].iterrows():
        group = {key: best[key] for key in reading.CONFIGURATION}
        columns = {"one": study.runs(recipe["runs"], {**group, "weight_decay": best.weight_decay})}
        for way in recipe["ways"]:
            named = {**group, "weight_decay": per_class_label(way)}
            columns[way] = study.runs(recipe["per_class_runs"], named)
        seen = _per_class_tables.Seen(group, best.weight_decay, names, columns)
        judged.append(_per_class_tables.table(seen, options.draws, options.level, options.seed))
        norms = study.weight_norms(recipe["runs"], {**group, "weight_decay": best.weight_decay})
        lambdas.append(_per_class_tables.lambdas(seen, chosen, norms))
    made = {"per-class": judged, "per-class-lambda": lambdas}
    empty = pd.DataFrame({"model": [], "optimizer": []})
    told = {"identity": identity, "recipe": recipe, "code": code}
    whole = {
        name: pd.concat(parts, ignore_index=True) if parts else empty
        for name, parts in made.items()
    }
    return writing.write("per-class", told, inputs, whole, root)


class _Study:
    """The finished runs of a study, checked as they are read."""

    def __init__(
        self,
        identity: dict[str, Any],
        expected: Mapping[str, tuple[str, str]],
        inputs: dict[str, str],
        root: Path,
    ):
        self.identity, self.expected, self.inputs, self.root = identity, expected, inputs, root

    def _finished(
        self, asked: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
    ) -> dict[int, finished_runs.Finished]:
        """Return seed → run, of the finite runs that are wanted."""
        mine = [run for run in asked if all(run[key] == own for key, own in wanted.items())]
        done = {
            run["seed"]: finished_runs.finished(
                {**self.identity, **run}, self.expected, self.inputs, self.root
            )
            for run in mine
        }
        return {seed: run for seed, run in done.items() if run.trained.info["finite"]}

    def runs(
        self, asked: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
    ) -> dict[int, dict[str, Any]]:
        """Return seed → split → label, predicted and loss by image."""
        return {
            seed: read_predictions(run.evaluated.check(run.folder, "predictions.parquet"))
            for seed, run in self._finished(asked, wanted).items()
        }

    def weight_norms(
        self, asked: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
    ) -> np.ndarray:
        """Return ‖w_c‖₂ of each class's weights, bias aside, (K,), mean over seeds."""
        norms = []
        for run in self._finished(asked, wanted).values():
            name = f"checkpoints/{paths.checkpoint(run.trained.info['epochs'])}"
            tensors = checkpoints.load(run.trained.check(run.folder, name))
            norms.append(tensors["head.weight"].double().norm(dim=1).numpy())
        return np.mean(norms, axis=0)
