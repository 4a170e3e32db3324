"""What training recipes are made of: kinds with their options, phases, and what ends a training."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind (see `cobaye.kinds`) and the options it was given, defaults included."""

    kind: str
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """Stop once a quantity of history.csv has not improved for `patience` epochs."""

    patience: int
    quantity: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    min_delta: float = 0.0


@dataclasses.dataclass(frozen=True)
class Stop:
    """What ends a training before its epochs are spent. train_accuracy: an epoch's mean, of 1."""

    early: EarlyStop | None = None
    train_accuracy: float | None = None


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a training that has an optimizer of its own, without memory of the one before.

    epochs: how many it has; None for the last phase, which has those that are left. weight_decay:
    whether the run's λ acts in it.
    """

    algorithm: Kind
    learning_rate: float
    epochs: int | None = None
    weight_decay: bool = False
