"""Evaluation: every checkpoint of a run on every split, as a whole, per class, and per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from cobaye import objective, recipes
from cobaye.data import splits
from cobaye.models.scoring import BLOCK, Forward, Scores, scores
from cobaye.storage import checkpoints, files, manifests, paths, resume
from cobaye.tables.reading import write_table


def per_class(labels: np.ndarray, values: np.ndarray, classes: int) -> np.ndarray:
    """Return each class's mean of values (N,), in float64; NaN for a class without images."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=values, minlength=classes)
    return np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0)


def evaluate(
    recipe: recipes.Evaluation,
    identity: dict[str, Any],
    code: str,
    expected: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
    parts: Mapping[str, splits.Split] | None = None,
    told: dict[str, Any] | None = None,
) -> Path:
    """Evaluate one run; return its manifest.

    expected: the fingerprint that the config gives the training; another one raises StaleFile.
    parts: the recipe's splits, where they have been loaded. told: what the config says of the
    recipe, where that is not the recipe itself (a derived run).
    Writes metrics.parquet, classes.parquet, predictions.parquet and, last, evaluate.json.
    """
    folder = root / paths.RUN.format(**identity)
    trained = manifests.read_manifest(folder / "train.json", "train", identity)
    manifests.require_fresh(folder / "train.json", trained, expected)
    manifests.require_inputs(folder / "train.json", trained, root)
    resume.forget(folder)
    parts = parts or load(recipe, root, memory)
    shape, classes = tuple(parts["val"].inputs.shape[1:]), parts["val"].classes
    forward = Forward(recipe.model, shape, classes, device)
    tables = Tables(classes, recipe.loss)
    last = trained.info["epochs"]
    with torch.inference_mode():
        for epoch in tqdm(range(last + 1), unit="checkpoint", mininterval=1.0):
            path = trained.check(folder, f"checkpoints/{paths.checkpoint(epoch)}")
            logits = forward.load(checkpoints.load(path))
            for name, split in parts.items():
                if epoch == last or name != "train" or recipe.train_epochs == "every":
                    tables.add(epoch, name, split, logits, device, is_last=epoch == last)
    made = tables.write(folder)
    inputs = {k: v for split in parts.values() for k, v in split.manifest.items()}
    inputs[f"{paths.RUN.format(**identity)}/train.json"] = files.sha256(folder / "train.json")
    stated = told or recipes.plain(recipe)
    manifest = manifests.Manifest("evaluate", identity, stated, code, inputs, made)
    manifest.write(folder / "evaluate.json")
    return folder / "evaluate.json"


def evaluate_group(
    runs: Sequence[Mapping[str, Any]],
    identity: dict[str, Any],
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> list[Path]:
    """Evaluate runs that were trained side by side, one after the other; return their manifests.

    runs: of each, what `evaluate` takes first: recipe, identity, code, expected. identity:
    {"study", "group"}.
    """
    resume.forget(root / paths.TOGETHER.format(**identity))
    parts = load(runs[0]["recipe"], root, memory)
    return [evaluate(**run, device=device, root=root, parts=parts) for run in runs]


def load(
    recipe: recipes.Evaluation, root: Path = Path(), memory: float = 0.5
) -> dict[str, splits.Split]:
    """Return the splits that a recipe scores."""
    return {split: splits.load(recipe.data, split, root, memory) for split in recipe.splits}


class Tables:
    """The rows of a run's three parquet files, column by column."""

    def __init__(self, classes: int, loss: objective.Loss = "cross-entropy"):
        self.classes, self.loss = classes, loss
        self.metrics: list[dict[str, Any]] = []
        self.by_class: list[dict[str, np.ndarray]] = []
        self.predictions: list[dict[str, np.ndarray]] = []

    def add(
        self,
        epoch: int,
        name: str,
        split: splits.Split,
        logits: Callable[[torch.Tensor], torch.Tensor],
        device: str,
        *,
        is_last: bool,
    ) -> None:
        """Score one checkpoint on one split."""
        predicted: list[torch.Tensor] = []

        def blocks() -> Iterator[torch.Tensor]:
            for rows in split.inputs.split(BLOCK):
                block = logits(rows)
                if is_last:
                    predicted.append(block.argmax(dim=1).cpu())
                yield block

        found = scores(blocks(), split.labels.to(device), self.loss)
        labels = split.labels.numpy()
        self._add_means(epoch, name, labels, found)
        if is_last:
            self.predictions.append(
                {
                    "split": np.full(len(labels), name, dtype=object),
                    "image": np.arange(len(labels), dtype=np.int32),
                    "label": labels.astype(np.int32),
                    "predicted": torch.cat(predicted).numpy().astype(np.int32),
                    "loss": found.loss,
                }
            )

    def _add_means(self, epoch: int, name: str, labels: np.ndarray, found: Scores) -> None:
        """Add the means over the split, and over each of its classes."""
        right = found.rank == 0
        self.metrics.append(
            {
                "epoch": epoch,
                "split": name,
                "loss": found.loss.mean(dtype=np.float64),
                "accuracy": right.mean(),
                "top5": (found.rank < 5).mean(),
            }
        )
        self.by_class.append(
            {
                "epoch": np.full(self.classes, epoch, dtype=np.int32),
                "split": np.full(self.classes, name, dtype=object),
                "class": np.arange(self.classes, dtype=np.int32),
                "n": np.bincount(labels, minlength=self.classes).astype(np.int32),
                "loss": per_class(labels, found.loss, self.classes),
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
        return {name: write_table(folder / name, table) for name, table in tables.items()}


def _stacked(parts: list[dict[str, np.ndarray]]) -> pa.Table:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pa.table({name: pa.array(column) for name, column in columns.items()})
