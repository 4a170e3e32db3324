"""Recipes: what a stage is told to do, as plain frozen dataclasses.

In: values that `config` checked. Out: plain dicts in Snakemake's params and in manifests, and
:func:`parse`, which makes them dataclasses again. Names that only stand in paths are no part of a
recipe: renaming an optimizer moves its runs, and two equal recipes are equal.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cobaye.recipes.plain_values import UNSAID, parse, plain

__all__ = ["UNSAID", "parse", "plain"]

Loss = Literal["cross-entropy", "squared-error"]
Precision = Literal["float32", "float64"]
Split = Literal["train", "val", "test"]
# Columns of history.csv that a stopping rule or a schedule may watch.
Quantity = Literal["val_loss", "val_accuracy", "loss", "accuracy"]
Normalize = Literal["none", "global", "channel", "zca"]
Shuffle = Literal["full", "blocks"]
TrainEpochs = Literal["every", "last"]
# Of a network while it computes features, and of the features as stored.
CachingPrecision = Literal["float32", "bfloat16", "float16"]
Storage = Literal["float32", "float16"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind (see `cobaye.kinds`) and the options it was given, defaults included."""

    kind: str
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """Stop once a quantity of history.csv has not improved for `patience` epochs."""

    patience: int
    quantity: Quantity = "val_loss"
    min_delta: float = 0.0

    def __post_init__(self):
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        if self.min_delta < 0:
            raise ValueError(f"min_delta must be at least 0, not {self.min_delta}")


@dataclasses.dataclass(frozen=True)
class Stop:
    """What ends a training before its epochs are spent. train_accuracy: an epoch's mean, of 1."""

    early: EarlyStop | None = None
    train_accuracy: float | None = None

    def __post_init__(self):
        if self.train_accuracy is not None and not 0 < self.train_accuracy <= 1:
            raise ValueError(f"train_accuracy must be in (0, 1], not {self.train_accuracy}")


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

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")


@dataclasses.dataclass(frozen=True)
class Start:
    """The weights that a training starts from: a backbone's, by tensors of equal name and shape.

    fresh: parts of the network that keep their random initial weights although they would fit.
    """

    backbone: str
    fresh: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Model(Kind):
    """A network, what it minimises, where it starts, and which of its parts learn (all if none)."""

    loss: Loss = "cross-entropy"
    start: Start | None = None
    train_only: tuple[str, ...] = ()

    @property
    def network(self) -> Kind:
        """The network alone."""
        return Kind(self.kind, self.options)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How a model is trained. learning_rate is the first epoch's; the schedule does the rest.

    l1: λ₁ of λ₁ ‖θ‖₁. max_norm: of each unit's incoming weights. augment: in the order applied.
    learning_rate, batch_size: None for an algorithm that takes all images at once. phases: where
    there are several; algorithm and learning_rate are then the first one's.
    """

    algorithm: Kind
    learning_rate: float | None
    schedule: Kind
    batch_size: int | None
    epochs: int
    normalize: Normalize
    shuffle: Shuffle = "full"
    l1: float = 0.0
    max_norm: float | None = None
    stop: Stop = Stop()
    augment: tuple[Kind, ...] = ()
    zca_epsilon: float = 1e-6
    phases: tuple[Phase, ...] = dataclasses.field(default=(), metadata=UNSAID)

    def used(self) -> list[tuple[str, str]]:
        """Return (family, name) of the kinds that it names."""
        algorithms = [self.algorithm, *(phase.algorithm for phase in self.phases)]
        return [
            *(("optimizers", name) for name in dict.fromkeys(each.kind for each in algorithms)),
            ("schedules", self.schedule.kind),
            *(("augmentations", each.kind) for each in self.augment),
        ]


@dataclasses.dataclass(frozen=True)
class Data:
    """What is learned from: a dataset's images, or a backbone's features of them."""

    dataset: str
    backbone: str | None


@dataclasses.dataclass(frozen=True)
class Training:
    """One run. weight_decay: λ of λ/2 ‖θ‖² beside the mean loss, or one λ per class.

    θ: what `train_only` names. penalize_bias, penalize_scales: whether θ has biases, and scales of
    normalisation layers, in it. precision: of parameters, inputs and steps. warm_start: the λ, as
    it stands in its path, of the run whose last weights are this one's first.
    """

    data: Data
    engine: str
    model: Kind
    optimizer: Optimizer
    weight_decay: float | tuple[float, ...]
    penalize_bias: bool
    seed: int
    penalize_scales: bool = True
    loss: Loss = "cross-entropy"
    start: Start | None = None
    train_only: tuple[str, ...] = ()
    precision: Precision = "float32"
    warm_start: str | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured of a run. train_epochs: of the train split, every checkpoint or the last."""

    data: Data
    model: Kind
    train_epochs: TrainEpochs
    loss: Loss = "cross-entropy"
    splits: tuple[Split, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Caching:
    """How penultimate features are computed. batch_size is in images."""

    batch_size: int
    precision: CachingPrecision
    storage: Storage
    skip_unreadable: bool = False


def needs_val(optimizer: Optimizer) -> bool:
    """Tell whether a recipe's schedule or stopping rule reads a quantity of the val split."""
    quantities = [optimizer.schedule.options.get("quantity", "")]
    if optimizer.stop.early is not None:
        quantities.append(optimizer.stop.early.quantity)
    return any(quantity.startswith("val_") for quantity in quantities)
