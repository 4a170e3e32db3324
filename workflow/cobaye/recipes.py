"""Recipes: what a stage is told to do, as plain frozen dataclasses.

`config` checks them once; the Snakefile hands them to the scripts as plain dicts, which Snakemake
compares by value; :func:`parse` makes them dataclasses again. Names that only stand in paths are
no part of a recipe: renaming an optimizer moves its runs, and two equal recipes are equal.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal

from cobaye import varied
from cobaye.parts import EarlyStop, Kind, Phase, Stop  # noqa: F401 (used as recipes.Kind, …)
from cobaye.plain_values import UNSAID, parse, plain  # noqa: F401 (used as recipes.parse, …)

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
    normalize: Literal["none", "global", "channel", "zca"]
    shuffle: Literal["full", "blocks"] = "full"
    l1: float = 0.0
    max_norm: float | None = None
    stop: Stop = Stop()  # noqa: RUF009 (it is frozen)
    augment: tuple[Kind, ...] = ()
    zca_epsilon: float = 1e-6
    phases: tuple[Phase, ...] = dataclasses.field(default=(), metadata=UNSAID)

    def used(self) -> list[tuple[str, str]]:
        """Return (package, name) of the kinds that it names."""
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


Split = Literal["train", "val", "test"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured of a run. train_epochs: of the train split, every checkpoint or the last."""

    data: Data
    model: Kind
    train_epochs: Literal["every", "last"]
    loss: Loss = "cross-entropy"
    splits: tuple[Split, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Caching:
    """How penultimate features are computed. batch_size is in images."""

    batch_size: int
    precision: Literal["float32", "bfloat16", "float16"]
    storage: Literal["float32", "float16"]
    skip_unreadable: bool = False


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
    download. threads: of each of its caching jobs. never_saw: datasets whose training images it
    was not trained on.
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
    never_saw: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Study:
    """A study: every model × optimizer × λ × seed, on the images or on a backbone's features.

    baseline: whether the backbone's own last layer is evaluated beside them; None: where it was
    trained on the same dataset. pairs: the (model, optimizer) that are trained; None: all.
    evaluate_splits: what is scored after training; `val` is among them. together: whether runs of
    one batch size are trained side by side. per_class: the ways to choose a λ for each class.
    own_decays: optimizer → its λ, where those are not all of weight_decays.
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
    grid: varied.Grid | None = None
    pairs: tuple[tuple[str, str], ...] | None = None
    evaluate_splits: tuple[Split, ...] = ("train", "val", "test")
    together: bool = False
    derived: tuple[varied.Derived, ...] = ()
    per_class: dict[str, Kind] = dataclasses.field(default_factory=dict)
    own_decays: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def decays(self, optimizer: str) -> tuple[str, ...]:
        """Return the λ that an optimizer is trained with."""
        return self.own_decays.get(optimizer, self.weight_decays)

    def runs(self) -> list[Run]:
        """Return its runs, in the order of the config."""
        pairs = self.pairs
        if pairs is None:
            pairs = tuple(itertools.product(self.models, self.optimizers))
        return [
            Run(model, optimizer, weight_decay, seed)
            for model, optimizer in pairs
            for weight_decay in self.decays(optimizer)
            for seed in self.seeds
        ]

    def derived_runs(self) -> dict[Run, tuple[varied.Derived, int]]:
        """Return its derived runs, each with what it is derived by and its place, from 1 on."""
        return {
            Run(f"{each.name}-{place}", each.optimizer, self.weight_decays[0], seed): (each, place)
            for each in self.derived
            for place in range(1, each.count + 1)
            for seed in self.seeds
        }

    def per_class_runs(self) -> dict[Run, str]:
        """Return its runs with a λ for each class, and the way in which that is chosen."""
        return {
            Run(run.model, run.optimizer, varied.per_class_label(way), run.seed): way
            for way in self.per_class
            for run in self.runs()
        }
