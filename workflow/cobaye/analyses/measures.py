"""Confidence or error? The effects of λ on classes in four measures, and calibration beside them.

A class whose loss rises may be more often wrong, or only surer of its errors. One temperature per
run, fitted on val by `evaluate`, takes off what is confidence alone. Calibration of a class has two
meanings, and both are kept. By ``label``: over the images of a class; a classifier that is
calibrated as a whole is over-confident on the images of a hard class. By ``predicted``: over the
images that are given the class; a calibrated classifier has no gap there (Gupta and Ramdas 2022,
Top-label calibration). The error of few images is biased upwards: prefer the signed gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cobaye import recipes
from cobaye.analyses import _sweeps
from cobaye.analyses._sweep_view import View
from cobaye.data import datasets
from cobaye.recipes import draws
from cobaye.statistics import calibration, choices, effects, reliability
from cobaye.statistics.sample import Sample, by_class
from cobaye.storage import finished_runs
from cobaye.storage.jobs import Job

READS_RUNS = ("predictions.parquet",)
TABLES = {
    "measures": "measures.csv",
    "calibration": "calibration.csv",
    "class-calibration": "class-calibration.csv",
}
_COLUMNS = ("scaled_loss", "brier", "confidence", "scaled_confidence")
# Model, optimizer, label of λ, seed → the run's temperature.
Temperatures = Mapping[tuple[str, str, str, int], float | None]


@dataclass(frozen=True)
class Options(draws.Draws):
    """Of the draws."""


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the tables of the measures of a study."""
    data = recipes.parse(recipes.Data, job.recipe["data"])
    job.read("prepare_dataset", {"dataset": data.dataset})
    sweeps = _sweeps.sweeps(job, ("val", "test"), _COLUMNS)
    temperatures = {
        tuple(run[key] for key in ("model", "optimizer", "weight_decay", "seed")): (
            finished_runs.finished(job, run).evaluated.info["temperature"]
        )
        for run in job.recipe["runs"]
    }
    return tables(sweeps, datasets.names(data.dataset, job.root), options, temperatures)


def tables(
    sweeps: Sequence[_sweeps.Sweep],
    names: Sequence[str],
    options: Options,
    temperatures: Temperatures,
) -> dict[str, pd.DataFrame]:
    """Return all tables, by name. Runs of a squared error have loss and 0/1 error alone."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for sweep in sweeps:
        view = View(sweep, list(names), options.draws, 0, options.level, options.seed)
        parts["measures"] += measures(view)
        if not np.isnan(sweep.splits["test"].more["confidence"]).all():
            parts["calibration"].append(overall_calibration(view, temperatures))
            parts["class-calibration"] += class_calibration(view)
    empty = pd.DataFrame({"model": [], "optimizer": []})
    return {
        name: pd.concat(frames, ignore_index=True) if frames else empty
        for name, frames in parts.items()
    }


def measures(view: View) -> list[pd.DataFrame]:
    """Return, per measure, a row per λ: means on test, differences from the best λ, their spread.

    The best λ is that of the loss on val, whatever the measure; `best_on_val` is the measure's own.
    """
    val, test = (_samples(view, split) for split in ("val", "test"))
    return [
        _measure(view, name, val[name], test[name])
        for name in test
        if not np.isnan(test[name].values).all()
    ]


def _samples(view: View, split: str) -> dict[str, Sample]:
    """Return each measure of a split's images, a column per λ, means over seeds."""
    predictions = view.sweep.splits[split]
    values = {
        "loss": predictions.mean_loss(),
        "scaled_loss": predictions.mean(predictions.more["scaled_loss"]),
        "brier": predictions.mean(predictions.more["brier"]),
        "error": 1 - predictions.mean_correct(),
    }
    return {name: by_class(each, predictions.labels, view.classes) for name, each in values.items()}


def _measure(view: View, name: str, val: Sample, test: Sample) -> pd.DataFrame:
    labels = view.sweep.labels
    between = effects.between_classes(
        test.relative_to(view.reference), view.draws, view.rng(f"between {name}"), view.level
    )
    gains = [
        choices.gain(test, view.reference, np.full(view.classes, place), view.level)
        for place in range(len(labels))
    ]
    ends = {
        f"between_sd{end}": np.sqrt(np.maximum(getattr(between.variance, key), 0))
        for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high"))
    }
    return view.frame(
        {
            "measure": name,
            "weight_decay": labels,
            "best": view.best,
            "best_on_val": labels[int(reliability.lowest(val.values.mean(axis=0)))],
            "mean": test.values.mean(axis=0),
            # A gain is a fall; a difference is a rise.
            "rise": [0 - one.estimate for one in gains],
            "rise_low": [0 - one.high for one in gains],
            "rise_high": [0 - one.low for one in gains],
            **ends,
            "between_variance": between.variance.estimate,
            "noise_sd": np.sqrt(between.noise),
        }
    )


def overall_calibration(view: View, temperatures: Temperatures) -> pd.DataFrame:
    """Return a row per λ: temperature (mean over seeds), confidence, accuracy and ECE on test."""
    sweep, test = view.sweep, view.sweep.splits["test"]
    known = [
        [
            temperatures[(*sweep.group, label, seed)]
            for seed, finite in zip(sweep.seeds, test.finite[:, place], strict=True)
            if finite
        ]
        for place, label in enumerate(sweep.labels)
    ]
    columns = {
        "weight_decay": sweep.labels,
        "best": view.best,
        "temperature": [np.array(each, dtype=float).mean() for each in known],
        "images": len(test.labels),
        "accuracy": test.mean_correct().mean(axis=1),
    }
    right = test.predicted == test.labels
    for prefix in ("", "scaled_"):
        confidence = test.more[f"{prefix}confidence"]
        found = calibration.expected_error(
            confidence, right, view.draws, view.rng(f"{prefix}calibration"), view.level
        )
        columns |= {
            f"{prefix}confidence": test.mean(confidence).mean(axis=1),
            f"{prefix}ece": found.error.estimate,
            f"{prefix}ece_low": found.error.low,
            f"{prefix}ece_high": found.error.high,
            f"{prefix}ece_by_chance": found.chance,
        }
    return view.frame(columns)


def class_calibration(view: View) -> list[pd.DataFrame]:
    """Return the calibration of each class at each λ on test, by label and by predicted class."""
    return [
        _class_calibration(view, by, place)
        for by in ("label", "predicted")
        for place in range(len(view.sweep.labels))
    ]


def _class_calibration(view: View, by: str, place: int) -> pd.DataFrame:
    test = view.sweep.splits["test"]
    finite = test.finite[:, place]
    predicted = test.predicted[finite, place]
    groups = predicted if by == "predicted" else np.broadcast_to(test.labels, predicted.shape)
    columns = {
        "by": by,
        "class": np.arange(view.classes),
        "name": view.names,
        "weight_decay": view.sweep.labels[place],
    }
    for prefix in ("", "scaled_"):
        confidence = test.more[f"{prefix}confidence"][finite, place]
        right = predicted == test.labels
        found = calibration.by_group(confidence, right, groups, view.classes, view.level)
        columns |= {
            "n": found.images,
            f"{prefix}ece": found.error,
            f"{prefix}gap": found.gap.estimate,
            f"{prefix}gap_low": found.gap.low,
            f"{prefix}gap_high": found.gap.high,
        }
    return view.frame(columns)
