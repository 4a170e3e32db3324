"""The best configuration on validation, and what it scores on test: once, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cobaye import (
    checkpoints,
    evaluation,
    files,
    grid_table,
    paths,
    recipes,
    scoring,
    splits,
    tables,
)

CHOSEN_ON = "highest val accuracy of {count}; ties: lower val loss"


def evaluate(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Score the best configuration of a study's grid on a split; return the manifest.

    recipe: {"data": a plain `recipes.Data`, "split": the split, "derived": whether the study has
    derived runs, which then compete too}. Writes best.csv: the row of the
    table `grid`, what it was chosen on, and its loss, accuracy and top-5 accuracy on that split. It
    has no row if no run stayed finite.
    """
    place = f"{paths.TABLES.format(**identity)}/tables.json"
    made = files.read_manifest(root / place, "tabulate", identity)
    files.require_inputs(root / place, made, root)
    table = tables.read(root / place.removesuffix("/tables.json"), "grid", made)
    inputs = {place: files.sha256(root / place)}
    if recipe["derived"]:
        table = _with_derived(table, identity, inputs, root)
    row = grid_table.whole_numbers(table[table["rank"] == 1]).drop(columns="rank")
    split = splits.load(recipes.parse(recipes.Data, recipe["data"]), recipe["split"], root, memory)
    inputs |= split.manifest
    scores: dict[str, float] = {}
    for chosen in row.to_dict("records"):
        run = {**identity, **{key: chosen[key] for key in tables.KEYS}}
        manifest = f"{paths.RUN.format(**run)}/train.json"
        trained = files.read_manifest(root / manifest, "train", run)
        inputs[manifest] = files.sha256(root / manifest)
        scores = _score(trained, (root / manifest).parent, chosen["epoch"], split, device)
    row = row.assign(chosen_on=CHOSEN_ON.format(count=int(table["finite"].sum())))
    row = row.assign(**{f"{recipe['split']}_{name}": value for name, value in scores.items()})
    folder = root / paths.BEST.format(**identity)
    entries = {"best.csv": tables.write(folder / "best.csv", row)}
    written = files.Manifest("evaluate_best", identity, recipe, code, inputs, entries)
    written.write(folder / "best.json")
    return folder / "best.json"


def _with_derived(
    table: pd.DataFrame, identity: dict[str, Any], inputs: dict[str, str], root: Path
) -> pd.DataFrame:
    """Return the rows of the grid and of the derived runs, ranked as one."""
    folder = root / paths.TABLES.format(**identity)
    made = files.read_manifest(folder / "derived.json", "tabulate_derived", identity)
    files.require_inputs(folder / "derived.json", made, root)
    inputs[f"{paths.TABLES.format(**identity)}/derived.json"] = files.sha256(
        folder / "derived.json"
    )
    both = pd.concat([table, tables.read(folder, "derived", made)], ignore_index=True)
    return both.assign(rank=grid_table.rank(both))


def _score(
    trained: files.Manifest, folder: Path, epoch: int, split: splits.Split, device: str
) -> dict[str, float]:
    """Return loss, accuracy and top-5 accuracy of a run's checkpoint, as `evaluate` has them."""
    recipe = trained.info.get("recipe", trained.recipe)
    model = recipes.parse(recipes.Kind, recipe["model"])
    shape = tuple(split.inputs.shape[1:])
    forward = scoring.Forward(model, shape, split.classes, device)
    path = trained.check(folder, f"checkpoints/{paths.checkpoint(epoch)}")
    means = evaluation.Tables(split.classes, recipe["loss"])
    with torch.inference_mode():
        logits = forward.load(checkpoints.load(path))
        means.add(epoch, "test", split, logits, device, is_last=False)
    return {name: float(means.metrics[0][name]) for name in ("loss", "accuracy", "top5")}
