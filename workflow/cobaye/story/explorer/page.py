"""The explorer of a study: data, charts and images put together into one page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from cobaye import recipes
from cobaye.data import datasets, typical_images
from cobaye.storage import files, finished_runs, manifests
from cobaye.storage.jobs import Job
from cobaye.story.explorer import (
    behaviour,
    behaviour_charts,
    charts,
    class_numbers,
    markup,
    thumbnails,
)
from cobaye.tables import reading, reported_epoch

# Bytes of a page; images take what the rest leaves.
LARGEST = 3_000_000
_SPARE = 20_000
_PREDICTED = ("label", "predicted", "loss")


def write_explorer(job: Job) -> Path:
    """Write a study's explorer.html; return its manifest.

    job.recipe: {"data": of each model, "tables": those that it reads, "runs": their identities}.
    """
    frames = reading.read_tables(job, job.recipe["tables"])
    data = {name: recipes.parse(recipes.Data, each) for name, each in job.recipe["data"].items()}
    dataset = next(iter(data.values())).dataset
    job.read("prepare_dataset", {"dataset": dataset})
    names = datasets.names(dataset, job.root)
    shown = class_numbers.configurations(frames, len(names))
    pictures = [_pictures(job, each, data[each["model"]], len(names)) for each in shown]
    epoch = reported_epoch.words(frames["runs"])
    text = page(job.identity["study"], dataset, names, shown, pictures, epoch)
    path = job.folder / "explorer.html"
    return job.publish(
        {path.name: manifests.describe(path, files.write_bytes(path, text.encode()))}
    )


def page(
    study: str,
    dataset: str,
    names: Sequence[object],
    configurations: Sequence[Mapping[str, Any]],
    pictures: Sequence[tuple[thumbnails.Shown, thumbnails.Pictures]],
    epoch: str,
) -> str:
    """Return the page.

    configurations: of `class_numbers`. pictures: theirs, in the same order. epoch: the one that the
    losses are at, in words.
    """
    content = {
        "data": dataset,
        "names": class_numbers.shown_names(names),
        "charts": charts.specifications(),
        "configurations": [dict(each) for each in configurations],
    }
    library = charts.library()
    left = LARGEST - _SPARE - len(library) - len(markup.STYLE) - len(_json(content).encode())
    for each, (shown, own) in zip(content["configurations"], pictures, strict=True):
        fitted = thumbnails.strips(own, left // len(pictures))
        if fitted is not None:
            fitted["predicted"] = [row[: fitted["count"]] for row in shown.predicted]
        each["images"] = fitted
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return environment.from_string(markup.PAGE).render(
        study=study,
        epoch=epoch,
        policy=markup.POLICY,
        style=markup.STYLE,
        data=_json(content),
        library=library,
        behaviour=behaviour.BEHAVIOUR + behaviour_charts.CHARTS,
    )


def _json(content: Any) -> str:
    """Return JSON that may stand inside a script: no "<", so nothing in it ends or opens one."""
    text = json.dumps(_short(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _short(value: Any) -> Any:
    """Return a value with its numbers at four digits; what is missing becomes None."""
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() else round(float(f"{value:.4g}"), 5)


def _pictures(
    job: Job, configuration: Mapping[str, Any], data: recipes.Data, classes: int
) -> tuple[thumbnails.Shown, thumbnails.Pictures]:
    """Return images of each class, as the first finite run of a best λ sees them."""
    best = configuration["labels"][configuration["best"]]
    wanted = {"model": configuration["model"], "optimizer": configuration["optimizer"]}
    wanted |= {"weight_decay": best}
    runs = (run for run in job.recipe["runs"] if wanted.items() <= run.items())
    done = (finished_runs.finished(job, run) for run in runs)
    first = next(run for run in done if run.trained.info["finite"])
    path = first.evaluated.check(first.folder, "predictions.parquet")
    rows = reading.read_checked(pd.read_parquet, path, filters=[("split", "==", "test")])
    shown = thumbnails.chosen(*(rows[key].to_numpy() for key in _PREDICTED), classes)
    return shown, thumbnails.pictures(shown, typical_images.reader(data, "test", job.root))
