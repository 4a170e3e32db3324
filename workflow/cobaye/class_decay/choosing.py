"""A λ for each class (S0.14), chosen in one of `class_decay.ways` from finished runs.

A run with all these λ at once is trained from the table that this writes: `training.origins`.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cobaye import kinds, recipes
from cobaye.class_decay.descent import Images
from cobaye.class_decay.ways import Given
from cobaye.data import datasets, splits
from cobaye.data.normalization import fit_normalization
from cobaye.storage import paths
from cobaye.storage.jobs import Job
from cobaye.tables import reading, writing


def choose_weight_decay(job: Job) -> Path:
    """Choose a λ for each class of every configuration of a study; return the manifest.

    job.identity: {"study", "way"}. job.recipe: {"options", "tables", "data", "unseen",
    "trainings"}; the last is a list of {"model", "optimizer", "training"}: names, and a plain
    `recipes.Training` whose λ does not count. Writes chosen-<way>.csv: model, optimizer, class,
    name, weight_decay. A (model, optimizer) without a finite run has no rows.
    """
    recipe, way = job.recipe, job.identity["way"]
    frames = reading.read_tables(job, recipe["tables"])
    data = recipes.parse(recipes.Data, recipe["data"])
    names = datasets.names(data.dataset, job.root)
    kind = kinds.load("ways", way)
    options = recipes.parse(kinds.options("ways", way), recipe["options"])
    tables, info = [], {}
    loaded: dict[recipes.Data, dict[str, splits.Split]] = {}
    for configuration in recipe["trainings"]:
        pair = {key: configuration[key] for key in reading.CONFIGURATION}
        selected = {name: reading.of_configuration(frame, pair) for name, frame in frames.items()}
        if selected["best-lambda"].empty:
            continue
        label = "/".join(pair.values())
        print(label, file=sys.stderr, flush=True)
        training = recipes.parse(recipes.Training, configuration["training"])
        if training.data not in loaded:  # one backbone's features at a time
            loaded = {training.data: splits.load_for(job, training.data, kind.SPLITS)}
        given = Given(
            tables=selected,
            best=selected["best-lambda"]["weight_decay"].iloc[0],
            classes=len(names),
            training=training,
            images=functools.partial(_images, loaded[training.data], training),
            unseen=recipe["unseen"],
            device=job.device,
        )
        choice = kind.choose(given, options)
        rows = {"class": np.arange(len(names)), "name": names}
        tables.append(pd.DataFrame({**pair, **rows, "weight_decay": choice.weight_decays}))
        info[label] = {**choice.info, "parameters": choice.parameters or len(names)}
    columns = [*reading.CONFIGURATION, "class", "name", "weight_decay"]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    name = Path(paths.CHOSEN.format(**job.identity)).stem
    return job.publish(writing.write_with_page(job, name, {name: table[columns]}), info)


def _images(loaded: dict[str, splits.Split], recipe: recipes.Training, split: str) -> Images:
    """Return a split as an engine takes it, normalised by the training split."""
    part, normalization = loaded[split], fit_normalization(loaded["train"], recipe.optimizer)
    inputs = normalization(part.inputs) if normalization else part.inputs
    return Images(torch.as_tensor(inputs.flatten(1)[:]), part.labels)
