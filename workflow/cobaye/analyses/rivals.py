"""Classifiers beside the one of the best single λ, all chosen on val, judged once on test."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cobaye.analyses import _rival_heads, _rival_runs
from cobaye.recipes import draws
from cobaye.storage.jobs import Job

READS_TABLES = ("best-lambda", "metrics")
READS_RUNS = ("checkpoints", "classes.parquet")
# Runs with a λ for each class, where the study has some.
READS_CLASS_DECAY = True
# The backbone's own last layer, where the study evaluates it.
READS_BASELINE = True
SPLITS = ("val", "test")
NETWORKS = ("linear", "perceptron")
LOSS = "cross-entropy"
TABLES = {"rivals": "rivals.csv"}


@dataclass(frozen=True)
class Options(draws.Draws):
    """Of the draws."""


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the table of rivals, by configuration.

    job.recipe: beside the runs, "ways", "class_decay_runs" and "baseline".
    """
    judged = _rival_runs.judged(
        job, SPLITS, options.seed, lambda path, _: _rival_heads.untrained(path)
    )
    return {"rivals": _rival_runs.joined(each.table("rivals", options) for each in judged)}
