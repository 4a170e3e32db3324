"""The configuration that is best on validation, scored on test: once, and no other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.evaluation.evaluate import Tables
from cobaye.models.scoring import Forward
from cobaye.storage import checkpoints, paths
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import Manifest, trained_model
from cobaye.tables import grid_table
from cobaye.tables.reading import KEYS, read_tables
from cobaye.tables.writing import write_csv, write_page

CHOSEN_ON = "highest val accuracy of {count}; ties: lower val loss"


def evaluate_best(job: Job) -> Path:
    """Score the best configuration of a study's grid on a split; return the manifest.

    job.recipe: {"data": a plain `recipes.Data`, "split": its name, "derived": whether the derived
    runs compete too}. Writes best.csv, and its page: the row of the table `grid`, what it was
    chosen on, and its loss, accuracy and top-5 accuracy on that split. It has no row if no run
    stayed finite.
    """
    recipe, name = job.recipe, job.recipe["split"]
    frames = read_tables(job, ["grid", "derived"] if recipe["derived"] else ["grid"])
    table = pd.concat(frames.values(), ignore_index=True)
    if recipe["derived"]:
        table = table.assign(rank=grid_table.rank(table))
    row = grid_table.whole_numbers(table[table["rank"] == 1]).drop(columns="rank")
    split = splits.load_for(job, recipes.parse(recipes.Data, recipe["data"]), [name])[name]
    scores: dict[str, float] = {}
    for chosen in row.to_dict("records"):
        run = {**job.identity, **{key: chosen[key] for key in KEYS}}
        folder = job.root / paths.RUN.format(**run)
        scores = _score(job.read("train", run), folder, chosen["epoch"], split, job.device)
    row = row.assign(chosen_on=CHOSEN_ON.format(count=int(table["finite"].sum())))
    row = row.assign(**{f"{name}_{measure}": value for measure, value in scores.items()})
    entries = {"best.csv": write_csv(job.folder / "best.csv", row)}
    path = job.folder / "best.html"
    entries[path.name] = write_page(path, f"{job.identity['study']}: best", {"best": row})
    return job.publish(entries)


def _score(
    trained: Manifest, folder: Path, epoch: int, split: splits.Split, device: str
) -> dict[str, float]:
    """Return loss, accuracy and top-5 accuracy of a run's checkpoint, as `evaluate` does."""
    model, loss = trained_model(trained)
    forward = Forward(model, tuple(split.inputs.shape[1:]), split.classes, device)
    path = trained.check(folder, f"checkpoints/{paths.checkpoint(epoch)}")
    means = Tables(split.classes, loss)
    with torch.inference_mode():
        logits = forward.load(checkpoints.load(path))
        means.add(epoch, "test", split, logits, device, is_reported=False)
    return {name: float(means.metrics[0][name]) for name in ("loss", "accuracy", "top5")}
