"""Derived runs: the best of a study's grid, trained again for another number of epochs (S3.7).

The config says which place of which table; a run's recipe is only known once the table is there. So
what stands in its manifest as its recipe is what the config says, and beside it, in `info` and in
run.json, what was found. It takes its row from the table `grid` and appears in tables of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cobaye import kinds, recipes
from cobaye.errors import DataError
from cobaye.evaluation import evaluate as run_evaluation
from cobaye.storage import files, manifests, paths, table_names
from cobaye.tables import grid_table, reading
from cobaye.tables.tabulate import read_run
from cobaye.training import loop


def train(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Train a derived run; return its manifest.

    recipe: {"place": from 1 on, "among": names of models, "epochs"}. Raises DataError if fewer
    configurations stayed finite than the place.
    """
    row, inputs = take(identity, recipe, root)
    taken = {**identity, **{key: row[key] for key in reading.KEYS}}
    path = f"{paths.RUN.format(**taken)}/train.json"
    trained = manifests.read_manifest(root / path, "train", taken)
    inputs[path] = files.sha256(root / path)
    found = dict(trained.recipe)
    if found["engine"] == "batched":
        found["engine"] = kinds.constant("networks", found["model"]["kind"], "ENGINE", "network")
    found["warm_start"] = None
    found["optimizer"] = {**found["optimizer"], "epochs": recipe["epochs"]}
    origin = loop.Origin(recipe, row, inputs)
    parsed = recipes.parse(recipes.Training, found)
    return loop.train(parsed, identity, code, device, root, memory, origin=origin)


def take(
    identity: Mapping[str, Any], recipe: Mapping[str, Any], root: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the row that a derived run takes, as plain values, and the manifest that covers it.

    Configurations that differ in epochs alone are one: their best counts.
    """
    frames, inputs = reading.read_all(identity["study"], ["grid"], root, current=True)
    table = frames["grid"]
    mine = table[table["model"].isin(recipe["among"]) & (table["seed"] == identity["seed"])]
    mine = mine.dropna(subset="rank").sort_values("rank").drop_duplicates(reading.KEYS)
    if len(mine) < recipe["place"]:
        raise DataError(
            f"{paths.TABLES.format(**identity)}/grid.csv: {identity['model']} is place "
            f"{recipe['place']}, but only {len(mine)} configurations of those that it may take "
            "stayed finite"
        )
    row = grid_table.whole_numbers(mine).iloc[recipe["place"] - 1]
    plain = {key: None if pd.isna(value) else value for key, value in row.items()}
    plain = {key: getattr(value, "item", lambda v=value: v)() for key, value in plain.items()}
    return plain, inputs


def evaluate(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    expected: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Evaluate a derived run; return its manifest.

    recipe: what `recipes.Evaluation` has, less what is found: model and loss.
    """
    path = root / paths.RUN.format(**identity) / "train.json"
    found = manifests.read_manifest(path, "train", identity).info.get("recipe", {})
    model = {key: found["model"][key] for key in ("kind", "options")}
    whole = recipes.parse(recipes.Evaluation, {**recipe, "model": model, "loss": found["loss"]})
    return run_evaluation.evaluate(
        whole, identity, code, expected, device, root, memory, told=recipe
    )


def tabulate(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    expected: Mapping[str, tuple[str, ...]],
    root: Path = Path(),
) -> Path:
    """Make the tables of a study's derived runs; return their manifest.

    recipe: {"runs": their identities}. `derived` has the columns of the table `grid`, and `taken`:
    the run that each one repeats.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in table_names.DERIVED_FILES}
    inputs: dict[str, str] = {}
    for run in recipe["runs"]:
        frames = read_run({**identity, **run}, expected, inputs, root)
        own = {
            name: pd.concat([pd.DataFrame(run, index=frames[name].index), frames[name]], axis=1)
            for name in ("runs", "history", "metrics")
        }
        path = root / paths.RUN.format(**identity, **run) / "train.json"
        info = manifests.read_manifest(path, "train", {**identity, **run}).info
        parts["derived"].append(_row(run, own, info))
        parts["derived-history"].append(own["history"])
        parts["derived-metrics"].append(own["metrics"])
    made = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    made["derived"] = made["derived"].assign(rank=grid_table.rank(made["derived"]))
    folder = root / paths.TABLES.format(**identity)
    entries = {
        table_names.DERIVED_FILES[name]: reading.write(
            folder / table_names.DERIVED_FILES[name], table
        )
        for name, table in made.items()
    }
    manifest = manifests.Manifest("tabulate_derived", identity, recipe, code, inputs, entries)
    manifest.write(folder / "derived.json")
    return folder / "derived.json"


def _row(
    run: Mapping[str, Any], own: Mapping[str, pd.DataFrame], info: Mapping[str, Any]
) -> pd.DataFrame:
    """Return a run's row of the table `derived`, its hyperparameters those that were found."""
    found = info["found"]
    known = {*reading.KEYS, *grid_table.RESULTS}
    grid = {
        "models": {run["model"]: {key: each for key, each in found.items() if key not in known}},
        "optimizers": {run["optimizer"]: {}},
        "epochs": {run["optimizer"]: [info["recipe"]["optimizer"]["epochs"]]},
    }
    return grid_table.table(own, grid).assign(taken=f"{found['model']}/{found['optimizer']}")
