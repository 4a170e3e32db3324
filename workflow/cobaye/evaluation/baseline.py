"""The baseline: the backbone's original last layer, evaluated beside the runs of a study."""

from __future__ import annotations

from pathlib import Path

import torch

from cobaye import recipes
from cobaye.data import datasets, splits
from cobaye.errors import DataError
from cobaye.evaluation.evaluate import Forward, Tables
from cobaye.models import backbones
from cobaye.storage import checkpoints, paths
from cobaye.storage.jobs import Job

HEAD = "head.safetensors"


def evaluate_baseline(job: Job) -> Path:
    """Evaluate the head of a study's backbone on its features; return the manifest.

    job.recipe: a plain `recipes.Data`. Writes head.safetensors (its weights), metrics.parquet,
    classes.parquet and predictions.parquet, as those of a run after epoch 0. Raises DataError if
    the head's classes are not the dataset's.
    """
    data = recipes.parse(recipes.Data, job.recipe)
    job.read("prepare_backbone", {"backbone": data.backbone})
    backbone = backbones.load(data.backbone, job.root)
    _refuse_other_classes(data, backbone, job.root)
    head = backbone.head()
    loaded = splits.load_for(job, data, paths.SPLITS)
    shape = tuple(loaded["train"].inputs.shape[1:])
    forward = Forward(recipes.Kind("linear", {}), shape, backbone.classes, job.device)
    tables = Tables(backbone.classes)
    with torch.inference_mode():
        logits = forward.load(head)
        tables.fit_temperature(loaded["val"], logits, job.device)
        for name, split in loaded.items():
            tables.add(0, name, split, logits, job.device, is_reported=True)
    weights = {HEAD: checkpoints.save(job.folder / HEAD, head)}
    return job.publish({**weights, **tables.write(job.folder)}, tables.info)


def _refuse_other_classes(recipe: recipes.Data, backbone: backbones.Backbone, root: Path) -> None:
    """Raise DataError unless the head's outputs are the dataset's classes, in the same order."""
    classes = datasets.names(recipe.dataset, root)
    refusal = f"baseline: the head of {recipe.backbone} cannot judge {recipe.dataset}"
    if backbone.classes != len(classes):
        raise DataError(f"{refusal}: it tells {backbone.classes} classes apart, not {len(classes)}")
    names = zip(backbone.categories or classes, classes, strict=True)
    differing = [(number, *pair) for number, pair in enumerate(names) if pair[0] != pair[1]]
    if differing:
        number, theirs, ours = differing[0]
        raise DataError(f"{refusal}: its class {number} is {theirs!r}, the dataset's is {ours!r}")
