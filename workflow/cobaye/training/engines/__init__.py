"""Engines: what carries out one epoch of training. They differ in how, never in what is minimised.

A kind is a file here. Its ``build(recipe, network, split, normalization, device)`` returns what
has ``epoch(order, learning_rate) -> Epoch``, ``parameters()`` (θ, tensor by tensor), ``tensors()``
(what a checkpoint stores), ``penalty()`` (of the objective, at the present weights), ``state()``
(the optimizer's) and ``restore(tensors, state)``. Its ``SUPPORTS`` names those of `l1`, `max_norm`,
`augment` and `phases` that it carries out (the last by ``enter(number)``, before an epoch); its
``DEVICE``, if it has one, is the only one that it computes on. What is random in an epoch (dropout,
augmentation) is a function of torch's global seed, which the caller sets before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from cobaye import kinds, objective, recipes
from cobaye.errors import ConfigError

if TYPE_CHECKING:
    from cobaye.data.normalization import Normalization
    from cobaye.data.splits import Split


class Row(NamedTuple):
    """A row of history.csv that an engine gives for each step of an epoch (see `training`)."""

    epoch: int
    loss: float
    penalty: float
    accuracy: float
    learning_rate: float
    weight_l1: float
    weight_l2: float

    def named(self) -> dict[str, float]:
        """Return the row as `cobaye.history` writes it."""
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
    rows
        of history.csv, where an epoch has more than one
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
    rows: tuple[Row, ...] = ()
    stopped: str | None = None
    certificate: dict[str, Any] = field(default_factory=dict)


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Any:
    """Return the engine that a recipe names, at the network's weights, before its first epoch.

    Raises ConfigError for a key of the recipe that the engine does not carry out.
    """
    engine = kinds.load("engines", recipe.engine)
    for key in ("l1", "max_norm", "augment", "phases"):
        if getattr(recipe.optimizer, key) and key not in getattr(engine, "SUPPORTS", ()):
            raise ConfigError(f"{key}: the engine {recipe.engine!r} does not carry it out")
    return engine.build(recipe, network, split, normalization, device)


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
