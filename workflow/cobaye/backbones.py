"""Backbones: a network without its last layer, as weights and the few facts that rebuild it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cobaye import checkpoints, files, networks, paths, recipes, splits
from cobaye.files import Manifest


def from_run(
    identity: dict[str, Any], recipe: dict[str, Any], code: str, expected: str, root: Path = Path()
) -> Path:
    """Take the network that a run trained, at its last epoch; return the backbone's manifest.

    recipe: {"run": the run's identity, "model": its network}. expected: the fingerprint that the
    config gives its training.
    """
    run = recipe["run"]
    folder = root / paths.RUN.format(**run)
    trained = files.read_manifest(folder / "train.json", "train", run)
    files.require_fresh(folder / "train.json", trained, expected)
    source = trained.check(folder, f"checkpoints/{paths.checkpoint(trained.info['epochs'])}")
    base = root / paths.BACKBONE.format(**identity)
    target = base.with_name(base.name + ".safetensors")
    entry = {
        "sha256": files.write_bytes(target, source.read_bytes()),
        "bytes": source.stat().st_size,
    }
    manifest = Manifest(
        stage="prepare_backbone",
        identity=identity,
        recipe=recipe,
        code=code,
        inputs={paths.RUN.format(**run) + "/train.json": files.sha256(folder / "train.json")},
        files={target.name: entry},
        info={
            "data": trained.inputs,
            "finite": trained.info["finite"],
            "manifest": base.name + ".json",
        },
    )
    path = base.with_name(base.name + ".json")
    manifest.write(path)
    return path


def load(backbone: str, root: Path = Path()) -> tuple[dict[str, torch.Tensor], Manifest]:
    """Return a backbone's tensors, once known to be what its manifest says, and the manifest."""
    base = paths.BACKBONE.format(backbone=backbone)
    manifest = files.read_manifest(
        root / f"{base}.json", "prepare_backbone", {"backbone": backbone}
    )
    path = manifest.check((root / base).parent, f"{backbone}.safetensors")
    return checkpoints.load(path), manifest


class Penultimate(torch.nn.Module):
    """From raw inputs to what a network's `head` receives, (n, *shape) → (n, D) float32."""

    def __init__(
        self, model: recipes.Kind, tensors: dict[str, torch.Tensor], shape: tuple[int, ...]
    ):
        super().__init__()
        normalization = splits.normalization_from(tensors)
        own = {k: v for k, v in tensors.items() if not k.startswith("normalization.")}
        network = networks.build(model, shape, len(own["head.weight"]))
        network.load_state_dict(own)
        network.head = torch.nn.Identity()
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.normalization = normalization

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the penultimate features of a batch of raw images."""
        inputs = self.normalization(images) if self.normalization else images.float()
        return self.network(inputs.contiguous(memory_format=torch.channels_last)).flatten(1)
