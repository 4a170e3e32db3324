"""Engines: each carries out epochs of training. All minimise the same objective.

In: a recipe, a network and the training split. Out: an `Engine`, with the loss of each epoch and
the weights after it.

An engine is a file here with ``build(recipe, network, split, normalization, device)``, an `Engine`
at the network's weights. ``SUPPORTS`` names those of `l1`, `max_norm`, `augment` and `phases` that
it carries out. ``DEVICE``, if stated, is the only device that it computes on. An engine of runs
trained together has ``build_together(recipes, networks, split, normalization, device)`` instead.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from cobaye import kinds, objective, recipes
from cobaye.errors import ConfigError

if TYPE_CHECKING:
    from cobaye.data.normalization import Normalization
    from cobaye.data.splits import Split


class Step(NamedTuple):
    """One step of a solver, which history.csv shows as a row; epoch: passes over the images."""

    epoch: int
    loss: float
    penalty: float
    accuracy: float
    learning_rate: float
    weight_l1: float
    weight_l2: float

    def named(self) -> dict[str, float]:
        """Return the row as `history.line` takes it."""
        return {**self._asdict(), "objective": self.loss + self.penalty}


@dataclass(frozen=True, eq=False)
class Epoch:
    """What one epoch of training saw, each image at the moment when its batch was visited.

    Attributes
    ----------
    loss
        mean over the images of the loss (`cobaye.objective`), without the penalty
    penalty
        mean over the images of λ/2 ‖θ‖² + λ₁ ‖θ‖₁, taken before the step of each image's batch
    accuracy
        share of images whose label has *strictly* the largest output: a tie is not correct
    losses
        (N,) loss of each image, in the data set's own order, in the dtype of the
        parameters (the recipe's precision); ``loss`` is their mean. None from an engine that keeps
        none.
    steps
        of a solver, in place of one row of history.csv
    stopped
        why an engine has no more to do; None while the recipe's epochs decide
    certificate
        what an engine proves of its result, JSON-ready

    Nothing here is checked: after a divergence the values are infinite or NaN.
    """

    loss: float
    penalty: float
    accuracy: float
    losses: torch.Tensor | None
    steps: tuple[Step, ...] = ()
    stopped: str | None = None
    certificate: dict[str, Any] = field(default_factory=dict)


class Engine(abc.ABC):
    """One training: θ and the state of its optimizer, from epoch to epoch.

    Randomness in an epoch (dropout, augmentation) is a function of torch's global seed, which the
    caller sets before it. A divergence is a result: it raises nothing.
    """

    @abc.abstractmethod
    def epoch(self, order: torch.Tensor, learning_rate: float) -> Epoch:
        """Visit every image once, in batches of consecutive entries of `order`.

        order: a permutation of the N images, (N,) int64, on any device; the last batch has what is
        left. learning_rate: of every step; NaN for an optimizer that has none.
        """

    @abc.abstractmethod
    def parameters(self) -> list[torch.Tensor]:
        """Return θ, tensor by tensor, live: what is trained, without frozen parameters."""

    @abc.abstractmethod
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return what a checkpoint stores, by name, live: later epochs write to it."""

    @abc.abstractmethod
    def penalty(self) -> float:
        """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁ of the present weights."""

    @abc.abstractmethod
    def state(self) -> Mapping[str, torch.Tensor]:
        """Return the optimizer's tensors by name, live; none before its first step."""

    @abc.abstractmethod
    def restore(
        self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]
    ) -> None:
        """Copy in what `tensors` and `state` returned; an empty state is a fresh start."""

    def enter(self, phase: int) -> None:  # noqa: B027
        """Go on in a phase of the recipe, from 0 on; without `phases` there is one."""


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine that a recipe names, at the network's weights, before its first epoch.

    Raises ConfigError for a key of the recipe that the engine does not carry out.
    """
    kind = kinds.load("engines", recipe.engine)
    for key in ("l1", "max_norm", "augment", "phases"):
        if getattr(recipe.optimizer, key) and key not in getattr(kind, "SUPPORTS", ()):
            raise ConfigError(f"{key}: the engine {recipe.engine!r} does not carry it out")
    return kind.build(recipe, network, split, normalization, device)


def decay_of(weight_decay: float | Iterable[float]) -> float | torch.Tensor:
    """Return λ as a number, or one per class as (K,) float64; K equal ones are a number."""
    if isinstance(weight_decay, int | float):
        return float(weight_decay)
    each = torch.as_tensor(weight_decay, dtype=torch.float64)
    return each[0].item() if bool((each == each[0]).all()) else each


def penalty(
    parameters: Mapping[str, torch.Tensor],
    weight_decay: float | torch.Tensor,
    *,
    penalize_bias: bool,
    l1: float = 0.0,
) -> float:
    """Return λ/2 ‖θ‖² + λ₁ ‖θ‖₁ over named parameters, in float64."""
    exact = {name: parameter.detach().cpu().double() for name, parameter in parameters.items()}
    return float(objective.penalty(exact, weight_decay, penalize_bias=penalize_bias, l1=l1))


def norms(parameters: Iterable[torch.Tensor]) -> tuple[float, float]:
    """Return Σ|θ| and ‖θ‖₂ over all parameters, summed in float64."""
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters]).double()
    return flat.abs().sum().item(), flat.norm().item()
