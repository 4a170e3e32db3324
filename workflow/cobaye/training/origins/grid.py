"""A place of the table `grid`: one of the best configurations, trained for more epochs (S3.7)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cobaye import kinds, recipes
from cobaye.errors import DataError
from cobaye.storage import paths
from cobaye.storage.jobs import Job
from cobaye.tables import grid_table, reading
from cobaye.training.origins import Origin


def resolve(job: Job) -> tuple[recipes.Training, Origin]:
    """Return the recipe of the run at a place of the grid, with another number of epochs.

    job.recipe: {"place": from 1 on, "among": names of models, "epochs"}. Raises DataError if fewer
    configurations stayed finite than the place.
    """
    row = take(job)
    run = {**job.identity, **{key: row[key] for key in reading.KEYS}}
    recipe = dict(job.read("train", run).recipe)
    if recipe["engine"] == "batched":
        kind = recipe["model"]["kind"]
        recipe["engine"] = kinds.constant("networks", kind, "ENGINE", "network")
    recipe["warm_start"] = None
    recipe["optimizer"] = {**recipe["optimizer"], "epochs": job.recipe["epochs"]}
    return recipes.parse(recipes.Training, recipe), Origin(row)


def take(job: Job) -> dict[str, Any]:
    """Return the row of the grid that a derived run repeats, as plain values.

    Configurations that differ in epochs alone count once, by their best.
    """
    recipe, identity = job.recipe, job.identity
    table = reading.read_tables(job, ["grid"])["grid"]
    rows = table[table["model"].isin(recipe["among"]) & (table["seed"] == identity["seed"])]
    rows = rows.dropna(subset="rank").sort_values("rank").drop_duplicates(reading.KEYS)
    if len(rows) < recipe["place"]:
        raise DataError(
            f"{paths.TABLES.format(**identity)}/grid.csv: {identity['model']} is place "
            f"{recipe['place']}, but only {len(rows)} configurations of those that it may take "
            "stayed finite"
        )
    row = grid_table.whole_numbers(rows).iloc[recipe["place"] - 1]
    plain = {key: None if pd.isna(value) else value for key, value in row.items()}
    return {key: getattr(value, "item", lambda v=value: v)() for key, value in plain.items()}
