"""What was chosen for each class: its λ in each way, and what the class is like (S0.14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cobaye.analyses._sweeps import read_predictions
from cobaye.data import datasets
from cobaye.models.scoring import per_class
from cobaye.storage import checkpoints, finished_runs, paths
from cobaye.storage.jobs import Job
from cobaye.tables import reading

READS_TABLES = ("best-lambda",)
READS_RUNS = ("checkpoints", "predictions.parquet")
# The λ that the ways in `per_class` chose.
READS_CHOSEN = True
TABLES = {"per-class-lambda": "per-class-lambda.csv"}


@dataclass(frozen=True)
class Options:
    """None."""


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the λ of each class beside facts on it. job.recipe: beside the runs, "ways"."""
    dataset = job.recipe["data"]["dataset"]
    job.read("prepare_dataset", {"dataset": dataset})
    classes = len(datasets.names(dataset, job.root))
    best_lambda = reading.read_tables(job, ["best-lambda"])["best-lambda"]
    chosen = {way: reading.read_chosen(job, way) for way in job.recipe["ways"]}
    parts = [pd.DataFrame({"model": [], "optimizer": []})]
    for _, best in best_lambda.iterrows():
        wanted = {key: best[key] for key in (*reading.CONFIGURATION, "weight_decay")}
        parts.append(lambdas(wanted, chosen, _traits(_finite(job, wanted), classes)))
    return {"per-class-lambda": pd.concat(parts, ignore_index=True)}


def lambdas(
    best: Mapping[str, str], chosen: Mapping[str, pd.DataFrame], traits: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per way and class: the chosen λ, and the class's traits.

    best: model, optimizer, and the label of the best single λ. traits: a row per class.
    """
    parts = []
    for way, whole in chosen.items():
        rows = whole[(whole["model"] == best["model"]) & (whole["optimizer"] == best["optimizer"])]
        facts = traits.loc[rows["class"]].set_index(rows.index)
        parts.append(rows.assign(choice=way, best=best["weight_decay"]).join(facts))
    return pd.concat(parts, ignore_index=True)


def _finite(job: Job, wanted: Mapping[str, str]) -> list[finished_runs.Finished]:
    """Return the finite runs that have the wanted values, one per seed."""
    runs = [run for run in job.recipe["runs"] if all(run[key] == wanted[key] for key in wanted)]
    done = [finished_runs.finished(job, run) for run in runs]
    return [run for run in done if run.trained.info["finite"]]


def _traits(runs: Sequence[finished_runs.Finished], classes: int) -> pd.DataFrame:
    """Return, per class, its number of training images, and means over runs of the best single λ.

    accuracy: on test. weight_norm: ‖w_c‖₂, bias aside.
    """
    accuracies, norms = [], []
    for run in runs:
        seen = read_predictions(run.evaluated.check(run.folder, "predictions.parquet"))
        right = seen["test"]["predicted"] == seen["test"]["label"]
        accuracies.append(per_class(seen["test"]["label"], right, classes))
        name = f"checkpoints/{paths.checkpoint(run.epoch)}"
        tensors = checkpoints.load(run.trained.check(run.folder, name))
        norms.append(tensors["head.weight"].double().norm(dim=1).numpy())
    return pd.DataFrame(
        {
            "n_train": np.bincount(seen["train"]["label"], minlength=classes),
            "accuracy": np.mean(accuracies, axis=0),
            "weight_norm": np.mean(norms, axis=0),
        }
    )
