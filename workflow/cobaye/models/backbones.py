"""Backbones: a network without its last layer, as weights and the few facts that rebuild it.

A backbone's tensors are those of a checkpoint: the network's, and the normalisation of its inputs.
Backbones that a run trained and those of torchvision are used in the same way. Those that other
code gives (`callables`) have no `head`, and normalise images in their own transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cobaye import recipes
from cobaye.data.normalization import Normalization, without_normalization
from cobaye.errors import ConfigError, CorruptFile, DataError, nearest
from cobaye.models import callables, networks
from cobaye.recipes import study
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.storage.jobs import Job

# torch's epsilon of the batch norm behind a head.
EPSILON = 1e-5


def prepare_backbone(job: Job) -> Path:
    """Write a backbone's weights; return its manifest.

    job.recipe: {"model": its network, and either "run": the identity of the run that trained it, or
    "weights" and "file": torchvision's}, or a callable's (see `callables.prepared`).
    """
    if "callable" in job.recipe:
        tensors, info = callables.prepared(job)
    else:
        tensors, info = _from_run(job) if job.recipe.get("run") else _from_torchvision(job)
        info["classes"] = len(tensors["head.weight"])
    for file in [job.recipe.get("file"), *job.recipe.get("reads", ())]:
        if file:
            job.inputs[file] = files.sha256(job.root / file)
    target = job.path.with_suffix(".safetensors")
    entry = checkpoints.save(target, tensors)
    return job.publish({target.name: entry}, info)


def _from_run(job: Job) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of the epoch that stands for a run.

    job.recipe["choose_epoch"]: as the run's study says, unless it is the last.
    """
    run = job.recipe["run"]
    trained = job.read("train", run)
    evaluated = job.read("evaluate", run) if "choose_epoch" in job.recipe else None
    epoch = manifests.reported_epoch(trained, evaluated)
    name = f"checkpoints/{paths.checkpoint(epoch)}"
    source = trained.check(job.root / paths.RUN.format(**run), name)
    return checkpoints.load(source), {"resize": None}


def _from_torchvision(job: Job) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return pretrained weights, from torch's cache or another file, and how they see an image."""
    from cobaye.models.networks import torchvision as zoo

    recipe = job.recipe
    name = recipe["model"]["options"]["model"]
    chosen = known_weights(recipe)
    file = job.root / recipe["file"] if recipe["file"] else cached(chosen)
    state = _state_dict(file)
    state = {key: t for key, t in state.items() if not key.startswith(zoo.SIDE_OUTPUTS)}
    network = zoo.create(name, num_classes=len(chosen.meta["categories"]))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"{recipe['file'] or file}: does not fit {name}: {error}") from None
    seen = chosen.transforms()
    constants = Normalization(
        torch.tensor(seen.mean).reshape(-1, 1, 1), torch.tensor(seen.std).reshape(-1, 1, 1)
    )
    info = {
        "resize": {
            "resize": seen.resize_size[0],
            "crop": seen.crop_size[0],
            "interpolation": seen.interpolation.value,
        },
        "weights": chosen.name,
        "categories": list(chosen.meta["categories"]),
    }
    return {**zoo.cut(network, name).state_dict(), **constants.tensors()}, info


def known_weights(recipe: dict[str, Any]) -> Any:
    """Return the weights of a recipe, as torchvision knows them."""
    from torchvision import models  # three seconds, for these backbones alone

    return models.get_model_weights(recipe["model"]["options"]["model"])[recipe["weights"]]


def cached(weights: Any) -> Path:
    """Return where torch keeps the file of some of torchvision's weights."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)


def problems(backbone: study.Backbone) -> list[str]:
    """Return what would stop `prepare` for a network that no run trained, as sentences."""
    if backbone.callable:
        return callables.problems(backbone)
    model, weights, file = backbone.model.options["model"], backbone.weights, backbone.file
    from torchvision import models

    from cobaye.models.networks import torchvision as zoo

    try:
        zoo.refuse_unknown(model)
        known = models.get_model_weights(model).__members__
        if weights not in known:
            return [f"weights: {model} has no {weights!r}: {nearest(weights, known)}"]
    except ConfigError as error:
        return [str(error)]
    if file is not None:
        return [] if Path(file).is_file() else [f"file: {file} is missing"]
    place = cached(known[weights])
    if backbone.download or place.is_file():
        return []
    return [
        f"torchvision's weights {known[weights].name} of {model} are not here: set download: true, "
        f"or put {place.name} anywhere and name it by file:"
    ]


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a local state dict, safetensors or torch's own format, as data and never as code."""
    try:
        if path.suffix == ".safetensors":
            return checkpoints.load(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, CorruptFile) as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # torch has many for this
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a state dict that can be read as data: {reason}") from None


@dataclass(frozen=True)
class Backbone:
    """A backbone read back.

    tensors: as a checkpoint's, `head` included. resize: {"resize", "crop", "interpolation"} of an
    image; None: images stay as they are. sha256: of the weights. categories: the names of the
    classes that `head` tells apart, where its weights came with them.
    """

    tensors: dict[str, torch.Tensor]
    resize: dict[str, Any] | None
    sha256: str
    categories: list[str] | None = None

    @property
    def classes(self) -> int:
        """The number of classes that `head` tells apart."""
        return len(self.tensors["head.weight"])

    def head(self) -> dict[str, torch.Tensor]:
        """Return its last layer, W (K, D) and b (K,), with the batch norm behind it folded in."""
        weight, bias = self.tensors["head.weight"], self.tensors["head.bias"]
        if "norm.running_mean" in self.tensors:
            scale = (self.tensors["norm.running_var"] + EPSILON).rsqrt()
            weight = weight * scale[:, None]
            bias = (bias - self.tensors["norm.running_mean"]) * scale
        return {"head.weight": weight, "head.bias": bias}


def load(backbone: str, root: Path = Path()) -> Backbone:
    """Return a backbone, after checking its file against its manifest."""
    base = paths.BACKBONE.format(backbone=backbone)
    path = root / f"{base}.json"
    manifest = manifests.read_manifest(path, "prepare_backbone", {"backbone": backbone})
    name = f"{backbone}.safetensors"
    tensors = checkpoints.load(manifest.check((root / base).parent, name))
    info = manifest.info
    return Backbone(tensors, info["resize"], manifest.files[name]["sha256"], info.get("categories"))


class Penultimate(torch.nn.Module):
    """From raw images to what a network's `head` receives, (n, C, H, W) uint8 → (n, D) float32."""

    def __init__(
        self, model: recipes.Kind, tensors: dict[str, torch.Tensor], shape: tuple[int, ...]
    ):
        super().__init__()
        weights, normalization = without_normalization(tensors)
        network = networks.build(model, shape, len(weights["head.weight"]))
        network.load_state_dict(weights)
        network.head = torch.nn.Identity()
        if hasattr(network, "norm"):
            network.norm = torch.nn.Identity()
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.normalization = normalization

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the penultimate features of a batch of raw images."""
        self.normalization = self.normalization.to(images.device)
        inputs = self.normalization(images).contiguous(memory_format=torch.channels_last)
        return self.network(inputs).flatten(1)
