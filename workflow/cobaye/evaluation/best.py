"""The best configuration on validation, and what it scores on test: once, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.evaluation.evaluate import Tables
from cobaye.models import scoring
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.tables import grid_table, reading

CHOSEN_ON = "highest val accuracy of {count}; ties: lower val loss"


def evaluate_best(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Score the best configuration of a study's grid on a split; return the manifest.

    recipe: {"data": a plain `recipes.Data`, "split": the split, "derived": whether the study has
    derived runs, which then compete too}. Writes best.csv: the row of the table `grid`, what it was
    chosen on, and its loss, accuracy and top-5 accuracy on that split. It has no row if no run
    stayed finite.
    """
    wanted = ["grid", "derived"] if recipe["derived"] else ["grid"]
    frames, inputs = reading.read_all(identity["study"], wanted, root, current=True)
    table = pd.concat(frames.values(), ignore_index=True)
    if recipe["derived"]:
        table = table.assign(rank=grid_table.rank(table))
    row = grid_table.whole_numbers(table[table["rank"] == 1]).drop(columns="rank")
    split = splits.load(recipes.parse(recipes.Data, recipe["data"]), recipe["split"], root, memory)
    inputs |= split.manifest
    scores: dict[str, float] = {}
    for chosen in row.to_dict("records"):
        run = {**identity, **{key: chosen[key] for key in reading.KEYS}}
        manifest = f"{paths.RUN.format(**run)}/train.json"
        trained = manifests.read_manifest(root / manifest, "train", run)
        inputs[manifest] = files.sha256(root / manifest)
        scores = _score(trained, (root / manifest).parent, chosen["epoch"], split, device)
    row = row.assign(chosen_on=CHOSEN_ON.format(count=int(table["finite"].sum())))
    row = row.assign(**{f"{recipe['split']}_{name}": value for name, value in scores.items()})
    folder = root / paths.BEST.format(**identity)
    entries = {"best.csv": reading.write(folder / "best.csv", row)}
    written = manifests.Manifest("evaluate_best", identity, recipe, code, inputs, entries)
    written.write(folder / "best.json")
    return folder / "best.json"


def _score(
    trained: manifests.Manifest, folder: Path, epoch: int, split: splits.Split, device: str
) -> dict[str, float]:
    """Return loss, accuracy and top-5 accuracy of a run's checkpoint, as `evaluate` has them."""
    recipe = trained.info.get("recipe", trained.recipe)
    model = recipes.parse(recipes.Kind, recipe["model"])
    shape = tuple(split.inputs.shape[1:])
    forward = scoring.Forward(model, shape, split.classes, device)
    path = trained.check(folder, f"checkpoints/{paths.checkpoint(epoch)}")
    means = Tables(split.classes, recipe["loss"])
    with torch.inference_mode():
        logits = forward.load(checkpoints.load(path))
        means.add(epoch, "test", split, logits, device, is_last=False)
    return {name: float(means.metrics[0][name]) for name in ("loss", "accuracy", "top5")}
