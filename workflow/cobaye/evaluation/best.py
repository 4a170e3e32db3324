"""The run that is best on validation, with its scores on test."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye import recipes
from cobaye.storage import paths
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import trained_model
from cobaye.tables import grid_table
from cobaye.tables.reading import KEYS, read_tables
from cobaye.tables.writing import write_with_page

CHOSEN_ON = "highest val accuracy of {count}; ties: lower val loss"
MEASURES = ("loss", "accuracy", "top5")


def evaluate_best(job: Job) -> Path:
    """Choose a study's best run on validation, and state its scores on test; return the manifest.

    job.recipe: {"tables": those that it reads: `grid`, or `runs`, `history` and `metrics`; those of
    the derived runs where these compete too; "trials": without a grid, what it would be (see
    `grid_table`); "data": model → a plain `recipes.Data`, or None where test is scored already}.
    Writes best.csv, and its page: the row of the table `grid`, what it was chosen on, and its loss,
    accuracy and top-5 accuracy on test. It has no row if no run stayed finite.
    """
    recipe, frames = job.recipe, read_tables(job, job.recipe["tables"])
    table = _competitors(frames, recipe["trials"])
    row = grid_table.whole_numbers(table[table["rank"] == 1]).drop(columns="rank")
    scores: dict[str, float] = {}
    for chosen in row.to_dict("records"):
        if recipe["data"] is None:
            scores = _known_scores(frames, chosen)
        else:
            scores = _score(job, chosen, recipe["data"])
    row = row.assign(chosen_on=CHOSEN_ON.format(count=int(table["finite"].sum())))
    row = row.assign(**{f"test_{measure}": value for measure, value in scores.items()})
    return job.publish(write_with_page(job, "best", {"best": row}))


def _competitors(
    frames: Mapping[str, pd.DataFrame], trials: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Return a row per trial of the study, derived ones included, ranked on validation."""
    if trials is not None:
        return grid_table.table(frames, trials)
    if "derived" not in frames:
        return frames["grid"]
    table = pd.concat([frames["grid"], frames["derived"]], ignore_index=True)
    return table.assign(rank=grid_table.rank(table))


def _known_scores(
    frames: Mapping[str, pd.DataFrame], chosen: Mapping[Hashable, Any]
) -> dict[str, float]:
    """Return a run's scores on test from the tables of all scores."""
    names = ("metrics", "derived-metrics")
    table = pd.concat([frames[name] for name in names if name in frames])
    wanted = (table["split"] == "test") & (table["epoch"] == chosen["epoch"])
    for key in KEYS:
        wanted &= table[key] == chosen[key]
    scores = table[wanted].iloc[0]
    return {measure: float(scores[measure]) for measure in MEASURES}


def _score(job: Job, chosen: Mapping[Hashable, Any], data: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a run's checkpoint on test, as `evaluate` finds them."""
    import torch  # two seconds, for studies that do not score test otherwise

    from cobaye.data import splits
    from cobaye.evaluation.evaluate import Tables
    from cobaye.models.scoring import Forward
    from cobaye.storage import checkpoints

    run = {**job.identity, **{key: chosen[key] for key in KEYS}}
    trained, folder = job.read("train", run), job.root / paths.RUN.format(**run)
    source = recipes.parse(recipes.Data, data.get(run["model"], next(iter(data.values()))))
    split = splits.load_for(job, source, ["test"])["test"]
    model, loss = trained_model(trained)
    forward = Forward(model, tuple(split.inputs.shape[1:]), split.classes, job.device)
    path = trained.check(folder, f"checkpoints/{paths.checkpoint(chosen['epoch'])}")
    means = Tables(split.classes, loss)
    with torch.inference_mode():
        logits = forward.load(checkpoints.load(path))
        means.add(chosen["epoch"], "test", split, logits, job.device, is_reported=False)
    return {measure: float(means.metrics[0][measure]) for measure in MEASURES}
