"""Recipes: what a stage is told to do, as plain frozen dataclasses.

`config` checks them once; the Snakefile hands them to the scripts as plain dicts, which Snakemake
compares by value; :func:`parse` makes them dataclasses again. Names that only stand in paths are
no part of a recipe: renaming an optimizer moves its runs, and two equal recipes are equal.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind (see `cobaye.kinds`) and the options it was given, defaults included."""

    kind: str
    options: dict[str, Any]


Loss = Literal["cross-entropy", "squared-error"]
Precision = Literal["float32", "float64"]


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
class Optimizer:
    """How a model is trained. learning_rate is the first epoch's; the schedule does the rest.

    l1: λ₁ of λ₁ ‖θ‖₁. max_norm: of each unit's incoming weights. augment: in the order applied.
    learning_rate, batch_size: None for an algorithm that takes all images at once.
    """

    algorithm: Kind
    learning_rate: float | None
    schedule: Kind
    batch_size: int | None
    epochs: int
    normalize: Literal["none", "global", "channel", "zca"]
    shuffle: Literal["full", "blocks"] = "full"
    l1: float = 0.0
    max_norm: float | None = None
    stop: Stop = Stop()
    augment: tuple[Kind, ...] = ()
    zca_epsilon: float = 1e-6


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
    train_epochs: Literal["every", "last"]
    loss: Loss = "cross-entropy"


@dataclasses.dataclass(frozen=True)
class Caching:
    """How penultimate features are computed. batch_size is in images."""

    batch_size: int
    precision: Literal["float32", "bfloat16", "float16"]
    storage: Literal["float32", "float16"]
    skip_unreadable: bool = False


def plain(recipe: Any) -> Any:
    """Return a recipe as JSON-ready values (tuples become lists)."""
    if dataclasses.is_dataclass(recipe):
        return {f.name: plain(getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}
    if isinstance(recipe, dict):
        return {key: plain(value) for key, value in recipe.items()}
    if isinstance(recipe, list | tuple):
        return [plain(value) for value in recipe]
    return recipe


def parse(cls: Any, value: Any) -> Any:
    """Return the dataclass ``cls`` (nested ones too) from what :func:`plain` made of it."""
    if isinstance(cls, types.UnionType):
        # Of an optional dataclass, or of a number that may be several.
        several = isinstance(value, list | tuple)
        return None if value is None else parse(typing.get_args(cls)[several], value)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        return cls(**{key: parse(hints[key], item) for key, item in value.items()})
    if typing.get_origin(cls) is tuple:
        return tuple(parse(typing.get_args(cls)[0], item) for item in value)
    return value


@dataclasses.dataclass(frozen=True)
class Run:
    """The identity of one run inside its study, as it stands in its path."""

    model: str
    optimizer: str
    weight_decay: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A named dataset. shards: into how many jobs the caching of each of its splits is cut."""

    name: str
    kind: Kind
    shards: int


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A named backbone: a network without its last layer, its weights from a run or torchvision.

    study, run: that trained it; None for torchvision's. model: torchvision's network; None for a
    run's. weights, file: the name of torchvision's weights; a local state dict instead of a
    download. threads: of each of its caching jobs.
    """

    name: str
    caching: Caching
    threads: int
    study: str | None = None
    run: Run | None = None
    model: Kind | None = None
    weights: str | None = None
    file: str | None = None
    download: bool = False


@dataclasses.dataclass(frozen=True)
class Study:
    """A study: every model × optimizer × λ × seed, on the images or on a backbone's features.

    baseline: whether the backbone's own last layer is evaluated beside them; None: where it was
    trained on the same dataset.
    """

    name: str
    data: Data
    models: dict[str, Model]
    optimizers: dict[str, Optimizer]
    weight_decays: tuple[str, ...]
    seeds: tuple[int, ...]
    penalize_bias: bool
    train_epochs: Literal["every", "last"]
    threads: int
    figures: dict[str, Kind]
    analyses: dict[str, Kind]
    baseline: bool | None = None
    penalize_scales: bool = True
    engine: Literal["auto", "torch", "numpy"] = "auto"
    precision: Precision = "float32"

    def runs(self) -> list[Run]:
        """Return its runs, in the order of the config."""
        return [
            Run(model, optimizer, weight_decay, seed)
            for model in self.models
            for optimizer in self.optimizers
            for weight_decay in self.weight_decays
            for seed in self.seeds
        ]
