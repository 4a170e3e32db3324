"""The weights that a training starts from, and which of them learn.

Weights from outside come from a prepared backbone (`backbones`): torchvision's, or the network that
another run trained. A tensor is taken where the network has one of the same name and shape. Others
keep their random initial weights: a first convolution for other channels, a head for other classes,
and the parts that the config lists under ``fresh``. run.json lists both.

Frozen parameters get no gradient. They are constants of the objective, and neither the penalty nor
the norms in history.csv count them. Batch norm in a frozen part still normalises by the batch and
updates its running statistics, as it does where only ``requires_grad`` is false (S3.8). Dropout
there stays on.
"""

from __future__ import annotations

import torch

from cobaye import recipes
from cobaye.data import splits
from cobaye.data.normalization import without_normalization
from cobaye.errors import DataError
from cobaye.models import backbones, networks
from cobaye.storage import checkpoints, paths
from cobaye.storage.jobs import Job


def network(
    recipe: recipes.Training, split: splits.Split, job: Job
) -> tuple[torch.nn.Module, dict[str, list[str]]]:
    """Return a run's network at its starting weights, and what run.json says of them.

    The latter are names of tensors: "taken" from the backbone and left "fresh", if there is a
    backbone, and "frozen", if any are. Raises DataError if no tensor of the backbone fits.
    """
    shape = tuple(split.inputs.shape[1:])
    built = networks.build(recipe.model, shape, split.classes, recipe.seed)
    started = _take(built, recipe.start, job) if recipe.start else {}
    if recipe.train_only:
        started["frozen"] = freeze(built, recipe.train_only)
    return built, started


def _take(network: torch.nn.Module, start: recipes.Start, job: Job) -> dict[str, list[str]]:
    job.read("prepare_backbone", {"backbone": start.backbone})
    given, _ = without_normalization(backbones.load(start.backbone, job.root).tensors)
    kept = {id(tensor) for part in start.fresh for tensor in _tensors(network, part)}
    taken, fresh = [], []
    for name, tensor in network.state_dict(keep_vars=True).items():
        fits = name in given and given[name].shape == tensor.shape and id(tensor) not in kept
        (taken if fits else fresh).append(name)
        if fits:
            with torch.no_grad():
                tensor.copy_(given[name])
    if not taken:
        raise DataError(f"backbone {start.backbone}: none of its tensors fits the network")
    return {"taken": taken, "fresh": fresh}


def freeze(network: torch.nn.Module, parts: tuple[str, ...]) -> list[str]:
    """Freeze all parameters outside these parts; return the names of the frozen ones."""
    learning = {id(tensor) for part in parts for tensor in _tensors(network, part)}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in learning)
    return [name for name, p in network.named_parameters() if not p.requires_grad]


def _tensors(network: torch.nn.Module, part: str) -> list[torch.Tensor]:
    """Return the parameters and buffers of a module of the network, or of its body."""
    module = getattr(network, part, None)
    if module is None:
        module = getattr(network.body, part)
    return list(module.state_dict(keep_vars=True).values())


def neighbour(recipe: recipes.Training, job: Job) -> dict[str, torch.Tensor]:
    """Return the tensors of a warm start: the last weights of the run with the next larger λ.

    Empty unless the recipe names a λ to start from.
    """
    if recipe.warm_start is None:
        return {}
    identity = {**job.identity, "weight_decay": recipe.warm_start}
    manifest = job.read("train", identity)
    name = f"checkpoints/{paths.checkpoint(manifest.info['epochs'])}"
    return checkpoints.load(manifest.check(job.root / paths.RUN.format(**identity), name))
