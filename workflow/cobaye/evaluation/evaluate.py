"""Evaluation: every kept checkpoint of a run on every split; means, means by class, predictions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from cobaye import objective, recipes
from cobaye.data import splits
from cobaye.models.scoring import (
    BLOCK,
    Forward,
    Scores,
    means,
    per_class,
    probability_scores,
    scores,
)
from cobaye.models.temperature import fit_temperature
from cobaye.storage import checkpoints, paths, resume
from cobaye.storage.jobs import Job
from cobaye.storage.manifests import Manifest, kept_epochs, reported_epoch, trained_model
from cobaye.tables.reported_epoch import best_on_val
from cobaye.tables.writing import write_parquet

# A network's map from a block of raw inputs to logits, at the weights of one checkpoint.
Logits = Callable[[torch.Tensor], torch.Tensor]


def evaluate(job: Job, loaded: Mapping[str, splits.Split] | None = None) -> Path:
    """Evaluate one run; return its manifest.

    job.recipe: a plain `recipes.Evaluation`. loaded: the splits to score, by name, where they are
    in memory already. Writes metrics.parquet, classes.parquet, predictions.parquet and, last,
    evaluate.json, whose info has the `temperature` of the reported epoch (see `Tables`), and that
    `epoch` where the recipe chooses it. Predictions are of this epoch. Network and loss are read
    from the manifest of the training.
    """
    recipe = recipes.parse(recipes.Evaluation, job.recipe)
    trained, folder = job.read("train", job.identity), job.folder
    resume.forget(folder)
    loaded = loaded or splits.load_for(job, recipe.data, recipe.splits)
    for split in loaded.values():
        job.inputs |= split.manifest
    model, loss = trained_model(trained)
    shape, classes = tuple(loaded["val"].inputs.shape[1:]), loaded["val"].classes
    forward, tables = Forward(model, shape, classes, job.device), Tables(classes, loss)

    def logits_after(epoch: int) -> Logits:
        path = trained.check(folder, f"checkpoints/{paths.checkpoint(epoch)}")
        return forward.load(checkpoints.load(path))

    with torch.inference_mode():
        reported, info = reported_epoch(trained), {}
        if recipe.choose_epoch == "best-val":
            reported = _best_on_val(trained, logits_after, loaded["val"], job.device)
            info = {"epoch": reported}
        for epoch in tqdm(kept_epochs(trained), unit="checkpoint"):
            logits, is_reported = logits_after(epoch), epoch == reported
            if is_reported:
                tables.fit_temperature(loaded["val"], logits, job.device)
            for name, split in loaded.items():
                if is_reported or name != "train" or recipe.train_epochs == "every":
                    tables.add(epoch, name, split, logits, job.device, is_reported=is_reported)
    return job.publish(tables.write(folder), tables.info | info)


def _best_on_val(
    trained: Manifest, logits_after: Callable[[int], Logits], val: splits.Split, device: str
) -> int:
    """Return the epoch of lowest mean loss on val; the last of a run that diverged."""
    if not trained.info["finite"]:
        return reported_epoch(trained)
    _, loss = trained_model(trained)
    losses = {
        epoch: means(logits_after(epoch), val, device, loss)[0] for epoch in kept_epochs(trained)
    }
    best = best_on_val(losses)
    return reported_epoch(trained) if best is None else best


def evaluate_together(job: Job) -> list[Path]:
    """Evaluate runs that were trained together, one after the other; return their manifests.

    job.recipe: {"runs": of each, identity, recipe, code and expected}. job.identity: {"study",
    "group"}.
    """
    resume.forget(job.root / paths.TOGETHER.format(**job.identity))
    runs = [
        dataclasses.replace(job, stage="evaluate", **run, inputs={}) for run in job.recipe["runs"]
    ]
    recipe = recipes.parse(recipes.Evaluation, runs[0].recipe)
    loaded = splits.load_for(job, recipe.data, recipe.splits)
    return [evaluate(run, loaded) for run in runs]


class Tables:
    """The rows of a run's three parquet files, column by column.

    Predictions have the `probability_scores` too, at the temperature that was fitted on val. They
    are NaN unless the loss is the cross-entropy: the outputs of a squared error are no logits.
    """

    def __init__(self, classes: int, loss: objective.Loss = "cross-entropy"):
        self.classes, self.loss = classes, loss
        self.metrics: list[dict[str, Any]] = []
        self.by_class: list[dict[str, np.ndarray]] = []
        self.predictions: list[dict[str, np.ndarray]] = []
        self.temperature = math.nan

    @property
    def info(self) -> dict[str, float | None]:
        """What the manifest says beside the files: the temperature, None if there is none."""
        return {"temperature": None if math.isnan(self.temperature) else self.temperature}

    def fit_temperature(self, val: splits.Split, logits: Logits, device: str) -> None:
        """Fit the temperature of one checkpoint: a pass over val, whose logits are held."""
        if self.loss == "cross-entropy":
            held = torch.cat([logits(rows) for rows in val.inputs.split(BLOCK)])
            self.temperature = fit_temperature(held, val.labels.to(device))

    def add(
        self,
        epoch: int,
        name: str,
        split: splits.Split,
        logits: Logits,
        device: str,
        *,
        is_reported: bool,
    ) -> None:
        """Score one checkpoint on one split."""
        parts: list[dict[str, np.ndarray]] = []
        on_device = split.labels.to(device)

        def blocks() -> Iterator[torch.Tensor]:
            start = 0  # blocks of mapped rows end where their files end
            for rows in split.inputs.split(BLOCK):
                block, end = logits(rows), start + len(rows)
                if is_reported:
                    parts.append(self._predictions(block, on_device[start:end]))
                start = end
                yield block

        result = scores(blocks(), on_device, self.loss)
        labels = split.labels.numpy()
        self._add_means(epoch, name, labels, result)
        if is_reported:
            self.predictions.append(
                {
                    "split": np.full(len(labels), name, dtype=object),
                    "image": np.arange(len(labels), dtype=np.int32),
                    "label": labels.astype(np.int32),
                    "loss": result.loss,
                    **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]},
                }
            )

    def _predictions(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
        """Return the class predicted for each image of a block, and its probability scores."""
        found = probability_scores(logits, labels, self.temperature)
        if self.loss != "cross-entropy":
            found = {name: torch.full_like(values, math.nan) for name, values in found.items()}
        columns = {name: values.cpu().numpy().astype(np.float32) for name, values in found.items()}
        return {"predicted": logits.argmax(dim=1).cpu().numpy().astype(np.int32), **columns}

    def _add_means(self, epoch: int, name: str, labels: np.ndarray, result: Scores) -> None:
        """Add the means over the split, and over each of its classes."""
        right = result.rank == 0
        self.metrics.append(
            {
                "epoch": epoch,
                "split": name,
                "loss": result.loss.mean(dtype=np.float64),
                "accuracy": right.mean(),
                "top5": (result.rank < 5).mean(),
            }
        )
        self.by_class.append(
            {
                "epoch": np.full(self.classes, epoch, dtype=np.int32),
                "split": np.full(self.classes, name, dtype=object),
                "class": np.arange(self.classes, dtype=np.int32),
                "n": np.bincount(labels, minlength=self.classes).astype(np.int32),
                "loss": per_class(labels, result.loss, self.classes),
                "accuracy": per_class(labels, right, self.classes),
            }
        )

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Write the three files; return their manifest entries."""
        tables = {
            "metrics.parquet": pa.Table.from_pylist(self.metrics),
            "classes.parquet": _stacked(self.by_class),
            "predictions.parquet": _stacked(self.predictions),
        }
        return {name: write_parquet(folder / name, table) for name, table in tables.items()}


def _stacked(parts: list[dict[str, np.ndarray]]) -> pa.Table:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pa.table({name: pa.array(column) for name, column in columns.items()})
