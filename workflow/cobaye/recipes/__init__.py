"""Recipes: the instructions of a stage, as plain frozen dataclasses.

In: values that `config` checked. Out: plain dicts in Snakemake's params and in manifests, which
:func:`parse` turns into dataclasses again. A recipe holds no name that only paths need:
renaming an optimizer moves its runs and leaves their recipes equal.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cobaye.recipes.long_tail import LongTail
from cobaye.recipes.plain_values import OMITTED, parse, plain

__all__ = ["OMITTED", "LongTail", "parse", "plain"]

Loss = Literal["cross-entropy", "squared-error", "softmax-squared-error"]
Precision = Literal["float32", "float64", "bfloat16"]
Split = Literal["train", "val", "test"]
# Columns of history.csv that a stopping rule or a schedule may watch.
Quantity = Literal["val_loss", "val_accuracy", "loss", "accuracy"]
Normalize = Literal["none", "global", "channel", "zca"]
Shuffle = Literal["full", "blocks"]
TrainEpochs = Literal["every", "last"]
# The epoch whose weights stand for a run: the last, or that of lowest mean loss on val.
ChooseEpoch = Literal["last", "best-val"]
# Of a network while it computes features, and of the features as stored.
CachingPrecision = Literal["float32", "bfloat16", "float16"]
Storage = Literal["float32", "float16"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind (see `cobaye.kinds`) and its options, defaults included."""

    kind: str
    options: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Source(Kind):
    """A dataset's kind and options, and what is done to its training classes."""

    long_tail: LongTail | None = dataclasses.field(default=None, metadata=OMITTED)


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """Stop once a quantity of history.csv has not improved for `patience` epochs."""

    #: Epochs without an improvement, after which the training stops; at least 1. The weights are
    #: those of the last epoch, not of the best.
    patience: int
    #: Column of history.csv that is watched.
    quantity: Quantity = "val_loss"
    #: Largest change that does not count as an improvement, at least 0.
    min_delta: float = 0.0

    def __post_init__(self):
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        if self.min_delta < 0:
            raise ValueError(f"min_delta must be at least 0, not {self.min_delta}")


@dataclasses.dataclass(frozen=True)
class Stop:
    """Rules that end a training early."""

    #: Stops when a quantity has not improved for some epochs.
    early: EarlyStop | None = None
    #: Stops when the mean accuracy of an epoch on train reaches this value, above 0 and at most 1.
    train_accuracy: float | None = None

    def __post_init__(self):
        if self.train_accuracy is not None and not 0 < self.train_accuracy <= 1:
            raise ValueError(f"train_accuracy must be in (0, 1], not {self.train_accuracy}")


@dataclasses.dataclass(frozen=True)
class Phase:
    """Consecutive epochs of a training with an optimizer that starts anew.

    learning_rate: None for an algorithm that has none.
    """

    algorithm: Kind
    learning_rate: float | None
    #: Number of epochs, at least 1. The last phase states none: it has those that are left.
    epochs: int | None = None
    #: Whether the run's λ acts in the phase.
    weight_decay: bool = False

    def __post_init__(self):
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")


@dataclasses.dataclass(frozen=True)
class Start:
    """Starting weights: those tensors of a backbone that have equal names and shapes."""

    #: A name of backbones.yaml.
    backbone: str
    #: Parts of the network that keep random initial weights although the backbone has them.
    fresh: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Model(Kind):
    """A network, its loss, its starting weights, and the parts that are trained (all if none)."""

    loss: Loss = "cross-entropy"
    start: Start | None = None
    train_only: tuple[str, ...] = ()

    @property
    def network(self) -> Kind:
        """The network alone."""
        return Kind(self.kind, self.options)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A training recipe. learning_rate: of the first epoch; the schedule multiplies it later.

    l1: λ₁ of λ₁ ‖θ‖₁. max_norm: of each unit's incoming weights. augment: in the order applied.
    learning_rate, batch_size: None for an algorithm that takes all images at once. phases: () or
    two and more; algorithm and learning_rate are then those of the first.
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
    phases: tuple[Phase, ...] = dataclasses.field(default=(), metadata=OMITTED)

    @property
    def reads_val(self) -> bool:
        """Whether its schedule or stopping rule reads a quantity of the val split."""
        quantities = [self.schedule.options.get("quantity", "")]
        if self.stop.early is not None:
            quantities.append(self.stop.early.quantity)
        return any(quantity.startswith("val_") for quantity in quantities)

    def used(self) -> list[tuple[str, str]]:
        """Return (family, name) of each kind that the recipe names."""
        algorithms = [self.algorithm, *(phase.algorithm for phase in self.phases)]
        return [
            *(("optimizers", name) for name in dict.fromkeys(each.kind for each in algorithms)),
            ("schedules", self.schedule.kind),
            *(("augmentations", each.kind) for each in self.augment),
        ]


@dataclasses.dataclass(frozen=True)
class Data:
    """The inputs of a training: a dataset's images, or a backbone's features of them."""

    dataset: str
    backbone: str | None


@dataclasses.dataclass(frozen=True)
class Training:
    """One run. weight_decay: λ of λ/2 ‖θ‖² beside the mean loss, or one λ per class.

    θ: the parameters of the parts in `train_only`. penalize_bias, penalize_scales: whether θ
    includes biases, and the scales of normalisation layers. precision: of parameters, inputs and
    steps. warm_start: the λ, as in its path, of the run whose last weights this one starts from.
    train_on: the splits whose images it learns from. keep: as in `keeps`. class_losses: whether the
    mean loss of each class is recorded while an epoch is trained.
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
    train_on: tuple[Split, ...] = dataclasses.field(default=("train",), metadata=OMITTED)
    keep: int | None = dataclasses.field(default=1, metadata=OMITTED)
    class_losses: bool = dataclasses.field(default=False, metadata=OMITTED)


def keeps(keep: int | None, epoch: int) -> bool:
    """Tell whether an epoch's checkpoint stays when the next one is there.

    keep: n for every n-th epoch, None for none. The initial weights, epoch 0, always stay.
    """
    return epoch == 0 or (keep is not None and epoch % keep == 0)


def kept_epochs(keep: int | None, last: int) -> list[int]:
    """Return the epochs whose checkpoints a training of `last` epochs leaves."""
    return [epoch for epoch in range(last + 1) if epoch == last or keeps(keep, epoch)]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run.

    train_epochs: which checkpoints are evaluated on the train split; `last` is the reported one.
    """

    data: Data
    train_epochs: TrainEpochs
    splits: tuple[Split, ...] = ("train", "val", "test")
    choose_epoch: ChooseEpoch = dataclasses.field(default="last", metadata=OMITTED)


@dataclasses.dataclass(frozen=True)
class Caching:
    """The settings by which penultimate features are computed. batch_size: in images."""

    batch_size: int
    precision: CachingPrecision
    storage: Storage
    skip_unreadable: bool = False
