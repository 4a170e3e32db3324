"""Warm starts: a run that begins at the last weights of a finished one, its neighbour in λ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cobaye import recipes
from cobaye.storage import checkpoints, files, manifests, paths


def load(
    recipe: recipes.Training, identity: dict[str, Any], expected: str | None, root: Path
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors that a run starts from, and the path and sha256 of their manifest.

    Both are empty unless the recipe names a λ to start from. They are those of the run of that λ
    whose identity is otherwise the same. expected: the fingerprint that the config gives that run's
    training; another one raises StaleFile.
    """
    if recipe.warm_start is None:
        return {}, {}
    identity = {**identity, "weight_decay": recipe.warm_start}
    place = f"{paths.RUN.format(**identity)}/train.json"
    manifest = manifests.read_manifest(root / place, "train", identity)
    if expected is not None:
        manifests.require_fresh(root / place, manifest, expected)
    name = f"checkpoints/{paths.checkpoint(manifest.info['epochs'])}"
    tensors = checkpoints.load(manifest.check((root / place).parent, name))
    return tensors, {place: files.sha256(root / place)}
