"""A λ for each class (S0.14): chosen in a way, then one more run with all of them at once.

Such a run is a derived run: `wd-per-class-<way>` stands in its path, the table `chosen-<way>` is an
input of its training, and the λ that it had are in run.json and in its manifest's `info`.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cobaye import kinds, recipes
from cobaye.data import datasets, splits
from cobaye.data.normalization import fit_normalization
from cobaye.derived.descent import Images
from cobaye.derived.ways import Given
from cobaye.errors import DataError
from cobaye.storage import files, manifests, paths
from cobaye.tables import reading
from cobaye.training import loop


def choose(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Choose a λ for each class of every configuration of a study; return the manifest.

    identity: {"study", "way"}. recipe: {"options", "tables", "data", "unseen", "trainings"}; the
    last, a list of {"model", "optimizer", "training"}: names, and `recipes.Training` as a dict with
    a λ that counts for nothing. Writes chosen-<way>.csv: model, optimizer, class, name,
    weight_decay. A configuration without a finite run has no rows.
    """
    study, way = identity["study"], identity["way"]
    frames, inputs = reading.read_all(study, recipe["tables"], root)
    data = recipes.parse(recipes.Data, recipe["data"])
    names = datasets.names(data.dataset, root)
    kind = kinds.load("ways", way)
    options = recipes.parse(kinds.options("ways", way), recipe["options"])
    loaded = {split: splits.load(data, split, root, memory) for split in kind.SPLITS}
    for each in loaded.values():
        inputs |= each.manifest
    found, info = [], {}
    for told in recipe["trainings"]:
        group = {key: told[key] for key in reading.CONFIGURATION}
        mine = {name: _of(frame, group) for name, frame in frames.items()}
        if mine["best-lambda"].empty:
            continue
        print(f"{told['model']}/{told['optimizer']}", file=sys.stderr, flush=True)
        trained = recipes.parse(recipes.Training, told["training"])
        given = Given(
            tables=mine,
            best=mine["best-lambda"]["weight_decay"].iloc[0],
            classes=len(names),
            training=trained,
            images=functools.partial(_images, loaded, trained),
            unseen=recipe["unseen"],
            device=device,
        )
        choice = kind.choose(given, options)
        rows = {"class": np.arange(len(names)), "name": names}
        found.append(pd.DataFrame({**group, **rows, "weight_decay": choice.weight_decays}))
        info[f"{told['model']}/{told['optimizer']}"] = choice.info
    columns = [*reading.CONFIGURATION, "class", "name", "weight_decay"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    path = root / paths.CHOSEN.format(**identity)
    entries = {path.name: reading.write(path, table[columns])}
    manifest = manifests.Manifest(
        "choose_weight_decay", identity, recipe, code, inputs, entries, info
    )
    manifest.write(path.with_suffix(".json"))
    return path.with_suffix(".json")


def read(study: str, way: str, root: Path, inputs: dict[str, str]) -> pd.DataFrame:
    """Return the table of a way, checked; adds its manifest's sha256 to `inputs`."""
    identity = {"study": study, "way": way}
    place = paths.CHOSEN.format(**identity).replace(".csv", ".json")
    manifest = manifests.read_manifest(root / place, "choose_weight_decay", identity)
    manifests.require_inputs(root / place, manifest, root)
    inputs[place] = files.sha256(root / place)
    path = root / paths.CHOSEN.format(**identity)
    return reading.read_file(manifest.check(path.parent, path.name))


def train(
    identity: dict[str, Any],
    recipe: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Train a run with a λ for each class; return its manifest.

    recipe: {"way", "training": as in `choose`}. Raises DataError if nothing was chosen, as no run
    that it could be chosen from stayed finite.
    """
    inputs: dict[str, str] = {}
    table = _of(read(identity["study"], recipe["way"], root, inputs), identity)
    if table.empty:
        raise DataError(
            f"{next(iter(inputs))}: nothing is chosen for {identity['model']}/"
            f"{identity['optimizer']}: none of its runs stayed finite"
        )
    each = table.sort_values("class")["weight_decay"].astype(float).tolist()
    parsed = recipes.parse(recipes.Training, {**recipe["training"], "weight_decay": each})
    origin = loop.Origin(recipe, {"way": recipe["way"], "weight_decay": each}, inputs)
    return loop.train(parsed, identity, code, device, root, memory, origin=origin)


def _of(table: pd.DataFrame, group: dict[str, Any]) -> pd.DataFrame:
    """Return the rows of one configuration."""
    return table[(table["model"] == group["model"]) & (table["optimizer"] == group["optimizer"])]


def _images(loaded: dict[str, splits.Split], recipe: recipes.Training, split: str) -> Images:
    """Return a split as an engine would take it, normalised by what the training split says."""
    found, normalization = loaded[split], fit_normalization(loaded["train"], recipe.optimizer)
    inputs = normalization(found.inputs) if normalization else found.inputs
    return Images(torch.as_tensor(inputs.flatten(1)[:]), found.labels)
