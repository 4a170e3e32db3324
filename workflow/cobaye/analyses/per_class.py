"""Runs with a λ for each class, judged once on test beside the best single λ (S0.14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses import _per_class_tables
from cobaye.analyses._sweeps import read_predictions
from cobaye.data import datasets
from cobaye.recipes.study import per_class_label
from cobaye.storage import checkpoints, finished_runs, paths
from cobaye.storage.jobs import Job
from cobaye.tables import reading

READS_TABLES = ("best-lambda",)
READS_RUNS = ("checkpoints", "predictions.parquet")
# The ways that a study lists in `per_class`.
READS_CLASS_DECAY = True
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


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Judge the runs with a λ for each class on test.

    job.recipe: beside the runs, "ways" and "class_decay_runs".
    """
    recipe, dataset = job.recipe, job.recipe["data"]["dataset"]
    job.read("prepare_dataset", {"dataset": dataset})
    names = datasets.names(dataset, job.root)
    best_lambda = reading.read_tables(job, ["best-lambda"])["best-lambda"]
    chosen = {way: reading.read_chosen(job, way) for way in recipe["ways"]}
    judged, lambdas = [], []
    for _, best in best_lambda.iterrows():
        group = {key: best[key] for key in reading.CONFIGURATION}
        alone = {**group, "weight_decay": best.weight_decay}
        columns = {"one": _predictions_of(job, recipe["runs"], alone)}
        for way in recipe["ways"]:
            run = {**group, "weight_decay": per_class_label(way)}
            columns[way] = _predictions_of(job, recipe["class_decay_runs"], run)
        seen = _per_class_tables.Seen(group, best.weight_decay, names, columns)
        judged.append(_per_class_tables.table(seen, options.draws, options.level, options.seed))
        norms = _weight_norms(job, recipe["runs"], alone)
        lambdas.append(_per_class_tables.lambdas(seen, chosen, norms))
    empty = pd.DataFrame({"model": [], "optimizer": []})
    parts = {"per-class": judged, "per-class-lambda": lambdas}
    return {
        name: pd.concat(tables, ignore_index=True) if tables else empty
        for name, tables in parts.items()
    }


def _finished(
    job: Job, runs: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
) -> dict[int, finished_runs.Finished]:
    """Return seed → run, of the finite runs that have the wanted values."""
    matching = [run for run in runs if all(run[key] == value for key, value in wanted.items())]
    done = {run["seed"]: finished_runs.finished(job, run) for run in matching}
    return {seed: run for seed, run in done.items() if run.trained.info["finite"]}


def _predictions_of(
    job: Job, runs: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
) -> dict[int, dict[str, Any]]:
    """Return seed → split → label, predicted and loss by image."""
    return {
        seed: read_predictions(run.evaluated.check(run.folder, "predictions.parquet"))
        for seed, run in _finished(job, runs, wanted).items()
    }


def _weight_norms(
    job: Job, runs: Sequence[Mapping[str, Any]], wanted: Mapping[str, str]
) -> np.ndarray:
    """Return ‖w_c‖₂ of each class's weights, bias aside, (K,), mean over seeds."""
    norms = []
    for run in _finished(job, runs, wanted).values():
        name = f"checkpoints/{paths.checkpoint(run.trained.info['epochs'])}"
        tensors = checkpoints.load(run.trained.check(run.folder, name))
        norms.append(tensors["head.weight"].double().norm(dim=1).numpy())
    return np.mean(norms, axis=0)
