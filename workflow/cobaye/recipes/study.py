"""Named datasets, backbones and studies of a config, and the runs of a study."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal

from cobaye.errors import ConfigError
from cobaye.recipes import (
    Caching,
    ChooseEpoch,
    Data,
    Kind,
    LongTail,
    Model,
    Optimizer,
    Precision,
    Split,
    TrainEpochs,
)
from cobaye.recipes.expected_value import ExpectedValue

# Which engine a study asks for; auto: the fastest one that supports each recipe.
Engine = Literal["auto", "torch", "numpy"]
# Width of a figure, in inches: a column of most journals' pages.
FIGURE_WIDTH = 5.5


@dataclasses.dataclass(frozen=True)
class Grid:
    """The fields of models and optimizers that a study varies.

    epochs: optimizer → the numbers of epochs that its runs are read at, the largest last.
    expansions: entry of `models` as written → names of the models that its grid stands for.
    """

    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    epochs: dict[str, tuple[int, ...]]
    expansions: dict[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Derived:
    """The best runs of a study's table `grid`, trained again for more epochs.

    among: the models that compete. The runs are named ``<name>-1`` (the best) … ``<name>-<count>``.
    """

    name: str
    count: int
    among: tuple[str, ...]
    epochs: int

    @property
    def optimizer(self) -> str:
        """The name at the optimizer's place of their paths."""
        return f"epochs-{self.epochs}"


def model_on(model: str, backbone: str) -> str:
    """Return the name of a model on the features of one of a study's several backbones."""
    return f"{model}@{backbone}"


def model_and_backbone(name: str) -> tuple[str, str]:
    """Return the two parts of a name that `model_on` made; the backbone is "" for other names."""
    model, _, backbone = name.partition("@")
    return model, backbone


def per_class_label(way: str) -> str:
    """Return the label at the place of λ in the paths of runs with a λ for each class."""
    return f"per-class-{way}"


@dataclasses.dataclass(frozen=True)
class Run:
    """The identity of one run inside its study, as it stands in its path."""

    model: str
    optimizer: str
    weight_decay: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A named dataset. shards: the number of caching jobs for each split."""

    name: str
    kind: Kind
    shards: int
    long_tail: LongTail | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A named backbone: a network without its last layer, of a run, torchvision or other code.

    study, run: those that trained it. model: torchvision's network. weights: torchvision's name of
    the weights. file: a local state dict instead of a download. callable: the name of other code,
    one of `own_code.FORMS`; reads: the files that this code reads. What belongs to another of the
    three is None. threads: of each caching job. never_saw: datasets whose training images
    the network was not trained on.
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
    callable: str | None = None
    reads: tuple[str, ...] = ()
    never_saw: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """A study: every model × optimizer × λ × seed, on the images or on backbones' features.

    backbones: () where the models learn from the images. Each of several has models of its own,
    named by `model_on`.

    baseline: whether the backbone's last layer is evaluated as well; None: where the backbone was
    trained on the same dataset. pairs: the (model, optimizer) that are trained; None: all.
    evaluate_splits: the splits evaluated after training; `val` is among them. together: whether
    runs of one batch size are trained at once. per_class: the ways to choose a λ for each class.
    own_decays: optimizer → its λ, for optimizers that are not trained with all weight_decays.
    keep: which checkpoints of a run stay, as in `recipes.keeps`. choose_epoch: the epoch whose
    weights stand for a run. figure_width: of all figures, in inches. expected: the values that it
    should find.
    """

    name: str
    dataset: str
    backbones: tuple[str, ...]
    models: dict[str, Model]
    optimizers: dict[str, Optimizer]
    weight_decays: tuple[str, ...]
    seeds: tuple[int, ...]
    penalize_bias: bool
    train_epochs: TrainEpochs
    threads: int
    figures: dict[str, Kind]
    analyses: dict[str, Kind]
    baseline: bool | None = None
    penalize_scales: bool = True
    engine: Engine = "auto"
    precision: Precision = "float32"
    grid: Grid | None = None
    pairs: tuple[tuple[str, str], ...] | None = None
    evaluate_splits: tuple[Split, ...] = ("train", "val", "test")
    together: bool = False
    derived: tuple[Derived, ...] = ()
    per_class: dict[str, Kind] = dataclasses.field(default_factory=dict)
    own_decays: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    keep: int | None = 1
    choose_epoch: ChooseEpoch = "last"
    figure_width: float = FIGURE_WIDTH
    expected: tuple[ExpectedValue, ...] = ()

    def data_of(self, model: str) -> Data:
        """Return what a model learns from."""
        several = len(self.backbones) > 1
        return Data(self.dataset, model_and_backbone(model)[1]) if several else self.sources[0]

    @property
    def sources(self) -> list[Data]:
        """What the models learn from: one per backbone, in the order of the config."""
        return [Data(self.dataset, backbone) for backbone in self.backbones or [None]]

    @property
    def data(self) -> Data:
        """What all models learn from; raises ConfigError where there are several backbones."""
        if len(self.backbones) > 1:
            raise ConfigError(
                f"studies/{self.name}.yaml: backbones: {list(self.backbones)}: what was asked for "
                "needs a study of one backbone"
            )
        return self.sources[0]

    def decays(self, optimizer: str) -> tuple[str, ...]:
        """Return the λ that an optimizer is trained with."""
        return self.own_decays.get(optimizer, self.weight_decays)

    def runs(self) -> list[Run]:
        """Return the runs in the order of the config, without derived ones."""
        pairs = self.pairs
        if pairs is None:
            pairs = tuple(itertools.product(self.models, self.optimizers))
        return [
            Run(model, optimizer, weight_decay, seed)
            for model, optimizer in pairs
            for weight_decay in self.decays(optimizer)
            for seed in self.seeds
        ]

    def derived_runs(self) -> dict[Run, tuple[Derived, int]]:
        """Return the derived runs, each with its entry of `derived` and its place from 1 on."""
        return {
            Run(f"{each.name}-{place}", each.optimizer, self.weight_decays[0], seed): (each, place)
            for each in self.derived
            for place in range(1, each.count + 1)
            for seed in self.seeds
        }

    def per_class_runs(self) -> dict[Run, str]:
        """Return the runs with a λ for each class, each with the way that chooses it."""
        return {
            Run(run.model, run.optimizer, per_class_label(way), run.seed): way
            for way in self.per_class
            for run in self.runs()
        }
