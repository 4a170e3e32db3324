"""Epochs of any network by automatic differentiation and a torch optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from cobaye import objective, recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.models import scoring
from cobaye.objective.regularization import Regularization
from cobaye.randomness import derived_seed
from cobaye.training import augmentations, engines, optimizers, phases
from cobaye.training.engines import Epoch

# Keys of a recipe that an engine may not know (see `engines.build`).
SUPPORTS = ("l1", "max_norm", "augment", "phases")


class Engine(engines.Engine):
    """Mini-batch training of a torch module.

    Parameters
    ----------
    network : from normalised float32 inputs (B, *shape) to logits (B, K).
    optimizer : over the network's parameters, λ in its groups' ``weight_decay``.
    inputs : (N, *shape), uint8 images or float features; labels : (N,) int64.
    prepare : from a batch of `inputs` to what the network takes.
    regularization : the penalty and the largest norm of the network's weights.
    augment : changes a batch of images by a seed, before it is prepared.
    loss : what is minimised (see `cobaye.objective`).
    build_phase : from a phase's number to its regularization and optimizer; the engine begins in
        phase 0.

    Parameters that need no gradient are frozen: they are no part of θ.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        prepare: Callable[[torch.Tensor], torch.Tensor],
        regularization: Regularization,
        batch_size: int,
        augment: augmentations.Augmentation | None = None,
        device: str = "cpu",
        loss: objective.Loss = "cross-entropy",
        build_phase: Callable[[int], tuple[Regularization, torch.optim.Optimizer]] | None = None,
    ):
        self.network, self.loss = network.to(device), loss
        self.optimizer, self.regularization = optimizer, regularization
        self.prepare, self.augment = prepare, augment
        self.inputs, self.labels = inputs.to(device), labels.to(device)
        self.batch_size, self.device = batch_size, device
        self.build_phase, self.phase = build_phase, 0
        # Convolutions on the CPU and on tensor cores are faster with the channels last.
        self.format = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
        self.network.to(memory_format=self.format)

    def parameters(self) -> list[torch.Tensor]:
        """Return the network's parameters that need a gradient."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the network's parameters and buffers."""
        return self.network.state_dict()

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁, in the dtype of the weights."""
        return self.regularization.penalty().detach().item()

    def state(self) -> dict[str, torch.Tensor]:
        """Return the optimizer's tensors, named by parameter number and quantity."""
        return {
            f"{number}.{name}": torch.as_tensor(value)
            for number, quantities in self.optimizer.state_dict()["state"].items()
            for name, value in quantities.items()
            if value is not None
        }

    def restore(self, tensors: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
        """Take over weights, and the optimizer's state if there is any."""
        self.network.load_state_dict(tensors)
        content = self.optimizer.state_dict()
        for name, value in state.items():
            number, quantity = name.split(".", 1)
            content["state"].setdefault(int(number), {})[quantity] = value
        self.optimizer.load_state_dict(content)

    def enter(self, phase: int) -> None:
        """Go on in a phase of the recipe: with a new optimizer, unless the engine is in it."""
        if phase != self.phase:
            self.phase = phase
            self.regularization, self.optimizer = self.build_phase(phase)

    def epoch(self, order: torch.Tensor, learning_rate: float) -> Epoch:
        """Visit every image once (see `engines.Engine`)."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        images = len(order)
        dtype = next(self.network.parameters()).dtype
        losses = torch.empty(images, dtype=dtype, device=self.device)
        hits = torch.zeros((), device=self.device)
        penalty = torch.zeros((), dtype=torch.float64, device=self.device)
        for number, batch in enumerate(order.to(self.device).split(self.batch_size)):
            with torch.no_grad():
                penalty += self.regularization.penalty() * len(batch)
            logits = self._forward(batch, number)
            labels = self.labels[batch]
            each = objective.losses(logits, labels, self.loss)
            self.optimizer.zero_grad(set_to_none=True)
            each.mean().backward()
            self.regularization.add_gradient()
            self.optimizer.step()
            self.regularization.constrain()
            losses[batch] = each.detach()
            hits += (scoring.ranks(logits.detach(), labels) == 0).sum()
        mean = losses.double().mean().item()
        return Epoch(mean, penalty.item() / images, hits.item() / images, losses.cpu())

    def _forward(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        images = self.inputs[batch]
        if self.augment:
            seed = derived_seed("augmentation", torch.initial_seed(), number)
            images = self.augment(images, seed)
        inputs = self.prepare(images)
        return self.network(inputs.contiguous(memory_format=self.format))


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine of a recipe; a λ per class, of which only heads know, is a ValueError."""
    if not isinstance(recipe.weight_decay, int | float):
        raise ValueError("a λ per class is for networks that are linear in their inputs")
    dtype = getattr(torch, recipe.precision)
    network = network.to(device, dtype)

    def build_phase(number: int) -> tuple[Regularization, torch.optim.Optimizer]:
        chosen = phases.phases_of(recipe.optimizer)[number]
        decay = recipe.weight_decay if chosen.weight_decay else 0.0
        regularization = Regularization(dataclasses.replace(recipe, weight_decay=decay), network)
        groups = regularization.groups()
        return regularization, optimizers.build(chosen.algorithm, groups, chosen.learning_rate)

    regularization, optimizer = build_phase(0)
    augment = recipe.optimizer.augment
    prepare = normalization.to(device) if normalization else torch.Tensor.float
    return Engine(
        network,
        optimizer,
        split.inputs,
        split.labels,
        prepare=lambda batch: prepare(batch).to(dtype),
        regularization=regularization,
        batch_size=recipe.optimizer.batch_size,
        augment=augmentations.Augmentation(augment) if augment else None,
        device=device,
        loss=recipe.loss,
        build_phase=build_phase,
    )
