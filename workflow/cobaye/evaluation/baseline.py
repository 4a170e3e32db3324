"""The baseline: the last layer that a backbone came with, evaluated beside the runs of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cobaye import recipes
from cobaye.data import datasets, splits
from cobaye.errors import DataError
from cobaye.evaluation.evaluate import Forward, Tables
from cobaye.models import backbones
from cobaye.storage import checkpoints, files, manifests, paths

HEAD = "head.safetensors"


def evaluate_baseline(
    recipe: recipes.Data,
    identity: dict[str, Any],
    code: str,
    device: str = "cpu",
    root: Path = Path(),
    memory: float = 0.5,
) -> Path:
    """Evaluate the head of a study's backbone on its features; return the manifest.

    Writes head.safetensors (its weights), metrics.parquet, classes.parquet, predictions.parquet, as
    those of a run after epoch 0, and, last, baseline.json. Raises DataError if the head tells other
    classes apart than the dataset has.
    """
    backbone = backbones.load(recipe.backbone, root)
    _refuse_other_classes(recipe, backbone, root)
    head = backbone.head()
    parts = {split: splits.load(recipe, split, root, memory) for split in paths.SPLITS}
    shape = tuple(parts["train"].inputs.shape[1:])
    forward = Forward(recipes.Kind("linear", {}), shape, backbone.classes, device)
    tables = Tables(backbone.classes)
    with torch.inference_mode():
        logits = forward.load(head)
        for name, split in parts.items():
            tables.add(0, name, split, logits, device, is_last=True)
    folder = root / paths.BASELINE.format(**identity)
    made = {HEAD: checkpoints.save(folder / HEAD, head), **tables.write(folder)}
    inputs = {k: v for split in parts.values() for k, v in split.manifest.items()}
    source = paths.BACKBONE.format(backbone=recipe.backbone) + ".json"
    inputs[source] = files.sha256(root / source)
    path = folder / "baseline.json"
    manifests.Manifest(
        "evaluate_baseline", identity, recipes.plain(recipe), code, inputs, made
    ).write(path)
    return path


def _refuse_other_classes(recipe: recipes.Data, backbone: backbones.Backbone, root: Path) -> None:
    """Raise DataError unless the head's outputs are the dataset's classes, in the same order."""
    own = datasets.names(recipe.dataset, root)
    said = f"baseline: the head of {recipe.backbone} cannot judge {recipe.dataset}"
    if backbone.classes != len(own):
        raise DataError(f"{said}: it tells {backbone.classes} classes apart, not {len(own)}")
    names = zip(backbone.categories or own, own, strict=True)
    other = [(number, *pair) for number, pair in enumerate(names) if pair[0] != pair[1]]
    if other:
        number, theirs, ours = other[0]
        raise DataError(f"{said}: its class {number} is {theirs!r}, the dataset's is {ours!r}")
