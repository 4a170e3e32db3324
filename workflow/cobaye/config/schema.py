"""The keys of the config files with their types (pydantic), and one message per mistake."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
    with_config,
)
from pydantic.dataclasses import dataclass

from cobaye import kinds, recipes
from cobaye.config import messages
from cobaye.errors import ConfigError, nearest
from cobaye.recipes.study import Engine
from cobaye.storage import own_code

Count = Annotated[int, Field(ge=1)]
# Of float32 the largest is 3e38, and optimizers scale what they are given.
LARGEST = 1e30
# What torch and NumPy take.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# Names, each with options or None; written as a list where none has options.
Named = Annotated[
    dict[str, dict[str, Any] | None],
    BeforeValidator(lambda given: dict.fromkeys(given) if _are_names(given) else given),
]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
# Parts of recipes that are written in config files as they are.
for part in (recipes.EarlyStop, recipes.Stop, recipes.Start):
    with_config(STRICT)(part)


class Strict(BaseModel):
    """A mapping without further keys."""

    model_config = STRICT


class WithOptions(BaseModel):
    """A mapping with a `kind`; its further keys are the options of that kind."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    kind: str

    def options(self) -> dict[str, Any]:
        """Return the keys beside `kind`."""
        return self.__pydantic_extra__ or {}


class SettingsFile(Strict):
    """config.yaml."""

    studies: list[str] = Field(min_length=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    recompute: bool = False


class DatasetEntry(WithOptions):
    """An entry of datasets.yaml."""

    shards: Annotated[int, Field(ge=1, le=99)] = 1


class RunEntry(Strict):
    """A run of a study, by name."""

    study: str
    model: str
    optimizer: str
    weight_decay: str
    seed: int = 0


class TorchvisionEntry(Strict):
    """A pretrained network of torchvision, with torchvision's names of network and weights."""

    model: str
    weights: str = "DEFAULT"
    file: str | None = None
    download: bool = False


class BackboneEntry(Strict):
    """An entry of backbones.yaml: one of `run`, `torchvision`, `callable`, and how it is used."""

    run: RunEntry | None = None
    torchvision: TorchvisionEntry | None = None
    callable: str | None = None
    reads: list[str] = []
    batch_size: Count = 256
    precision: recipes.CachingPrecision = "float32"
    storage: recipes.Storage = "float32"
    skip_unreadable: bool = False
    threads: Count = 1
    never_saw: list[str] = []

    @model_validator(mode="after")
    def _one_origin(self) -> BackboneEntry:
        if [self.run, self.torchvision, self.callable].count(None) != 2:
            raise ValueError("give one of run, torchvision and callable")
        if self.reads and self.callable is None:
            raise ValueError("reads: for a callable only")
        return self

    @field_validator("callable")
    @classmethod
    def _form(cls, name: str | None) -> str | None:
        if name is not None and not own_code.is_form(name):
            raise ValueError(f"{name!r}: give {own_code.FORMS}")
        return name


class ModelEntry(WithOptions):
    """An entry of a study's `models`."""

    loss: recipes.Loss | None = None
    start: recipes.Start | None = None
    train_only: list[str] | None = Field(default=None, min_length=1)


@dataclass(frozen=True, config=STRICT)
class PhaseEntry(recipes.Phase):
    """A phase of a training, its algorithm not yet checked."""

    algorithm: WithOptions
    learning_rate: float | None = Field(le=LARGEST)


class OptimizerEntry(Strict):
    """An entry of a study's `optimizers`: a training recipe."""

    models: list[str] | None = Field(default=None, min_length=1)
    weight_decays: list[Any] | None = Field(default=None, min_length=1)
    algorithm: WithOptions | None = None
    phases: list[PhaseEntry] | None = Field(default=None, min_length=2)
    learning_rate: float | None = Field(default=None, gt=0, le=LARGEST)
    schedule: WithOptions = WithOptions(kind="constant")
    batch_size: Count | None = None
    epochs: Annotated[int, Field(ge=1, le=9999)] | None = None
    normalize: recipes.Normalize = "none"
    shuffle: recipes.Shuffle = "full"
    l1: float = Field(default=0.0, ge=0, le=LARGEST)
    max_norm: float | None = Field(default=None, gt=0, le=LARGEST)
    stop: recipes.Stop = recipes.Stop()
    augment: list[WithOptions] = []
    zca_epsilon: float = Field(default=1e-6, gt=0)


class SampleEntry(Strict):
    """A random sample of a study's (model, optimizer) pairs."""

    count: Count
    seed: Seed = 0


class DerivedEntry(Strict):
    """An entry of a study's `derived`: the best of its grid, trained again for more epochs."""

    best: Annotated[int, Field(ge=1, le=99)]
    among: list[str] | None = Field(default=None, min_length=1)
    epochs: Annotated[int, Field(ge=1, le=9999)]


class StudyFile(Strict):
    """A file of studies/."""

    dataset: str
    backbone: str | None = None
    backbones: list[str] | None = Field(default=None, min_length=2)
    models: dict[str, ModelEntry] = Field(min_length=1)
    optimizers: dict[str, OptimizerEntry] = Field(min_length=1)
    weight_decays: list[Any] = Field(min_length=1)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    penalize_bias: bool = True
    penalize_scales: bool = True
    train_epochs: recipes.TrainEpochs = "every"
    keep: Any = "all"
    threads: Count = 1
    baseline: bool | None = None
    engine: Engine = "auto"
    precision: recipes.Precision = "float32"
    sample: SampleEntry | None = None
    evaluate_splits: list[recipes.Split] = ["train", "val", "test"]
    together: bool = False
    derived: dict[str, DerivedEntry] = {}
    per_class: Named = {}
    analyses: Named | None = None
    figures: Named | None = None


def checked_kind(
    family: str, kind: str, given: Mapping[str, Any], path: Path, where: str
) -> recipes.Kind:
    """Return a kind with its options checked and its defaults filled in."""
    refuse_unknown(kind, kinds.names(family), path, f"{where}.kind", kinds.singular(family))
    return recipes.Kind(kind, checked_options(kinds.options(family, kind), given, path, where))


def checked_options(cls: type, given: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Return options checked against a dataclass, its defaults filled in, as plain values."""
    try:
        options = _adapter(cls).validate_python(dict(given))
    except ValidationError as error:
        raise ConfigError(messages.of(error, cls, path, where)) from None
    messages.refuse_booleans(given, options, path, where)
    return recipes.plain(options)


@functools.cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(dataclass(cls, frozen=True, config=STRICT))


def checked(model: type[BaseModel], value: Any, path: Path, where: str = "") -> Any:
    """Return a value checked against one of the models above."""
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(messages.of(error, model, path, where)) from None
    messages.refuse_booleans(value, made, path, where)
    return made


def refuse_unknown(value: Any, known: Iterable[Any], path: Path, where: str, what: str) -> None:
    """Raise ConfigError unless a value is a known one; the message offers the nearest."""
    if value not in list(known):
        raise ConfigError(f"{path}: {where}: no {what} {value!r}: {nearest(value, known)}")


def _are_names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) for each in given)
