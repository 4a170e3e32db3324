"""The keys of the config files, typed by pydantic, and the one message for each mistake in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from cobaye import kinds, recipes
from cobaye.errors import ConfigError, nearest

Count = Annotated[int, Field(ge=1)]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class Strict(BaseModel):
    """A mapping that knows all its keys."""

    model_config = STRICT


class WithOptions(BaseModel):
    """A mapping whose `kind` says which further keys it may have."""

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


class DatasetEntry(WithOptions):
    """An entry of datasets.yaml; its kind says which further keys it may have."""

    shards: Annotated[int, Field(ge=1, le=99)] = 1


class RunEntry(Strict):
    """A run of a study, by name."""

    study: str
    model: str
    optimizer: str
    weight_decay: str
    seed: int = 0


class TorchvisionEntry(Strict):
    """A pretrained network of torchvision, by its name and its weights' name there."""

    model: str
    weights: str = "DEFAULT"
    file: str | None = None
    download: bool = False


class BackboneEntry(Strict):
    """An entry of backbones.yaml: one of `run` and `torchvision`, and how it is used."""

    run: RunEntry | None = None
    torchvision: TorchvisionEntry | None = None
    batch_size: Count = 256
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    storage: Literal["float32", "float16"] = "float32"
    skip_unreadable: bool = False
    threads: Count = 1
    never_saw: list[str] = []

    @model_validator(mode="after")
    def _one_origin(self) -> BackboneEntry:
        if (self.run is None) == (self.torchvision is None):
            raise ValueError("give one of run and torchvision")
        return self


class EarlyEntry(Strict):
    """When to give up on a quantity of history.csv."""

    patience: Count
    quantity: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    min_delta: float = Field(default=0.0, ge=0)


class StopEntry(Strict):
    """What ends a training before its epochs are spent."""

    early: EarlyEntry | None = None
    train_accuracy: float | None = Field(default=None, gt=0, le=1)


class StartEntry(Strict):
    """The weights that a model starts from."""

    backbone: str
    fresh: list[str] = []


class ModelEntry(WithOptions):
    """A model of a study; its kind says which further keys it may have."""

    loss: Literal["cross-entropy", "squared-error"] | None = None
    start: StartEntry | None = None
    train_only: list[str] | None = Field(default=None, min_length=1)


class PhaseEntry(Strict):
    """A phase of a training, whose optimizer is its own."""

    algorithm: WithOptions
    learning_rate: float = Field(gt=0)
    epochs: Count | None = None
    weight_decay: bool = False


class OptimizerEntry(Strict):
    """A training recipe in a study's `optimizers`."""

    models: list[str] | None = Field(default=None, min_length=1)
    weight_decays: list[Any] | None = Field(default=None, min_length=1)
    algorithm: WithOptions | None = None
    phases: list[PhaseEntry] | None = Field(default=None, min_length=2)
    learning_rate: float | None = Field(default=None, gt=0)
    schedule: WithOptions = WithOptions(kind="constant")
    batch_size: Count | None = None
    epochs: Annotated[int, Field(ge=1, le=9999)] | None = None
    normalize: Literal["none", "global", "channel", "zca"] = "none"
    shuffle: Literal["full", "blocks"] = "full"
    l1: float = Field(default=0.0, ge=0)
    max_norm: float | None = Field(default=None, gt=0)
    stop: StopEntry = StopEntry()
    augment: list[WithOptions] = []
    zca_epsilon: float = Field(default=1e-6, gt=0)


class SampleEntry(Strict):
    """A random sample of a study's (model, optimizer) pairs."""

    count: Count
    seed: Annotated[int, Field(ge=0)] = 0


class DerivedEntry(Strict):
    """Runs that repeat the best of a study's grid for more epochs."""

    best: Annotated[int, Field(ge=1, le=99)]
    among: list[str] | None = Field(default=None, min_length=1)
    epochs: Annotated[int, Field(ge=1, le=9999)]


class StudyFile(Strict):
    """A file of studies/."""

    dataset: str
    backbone: str | None = None
    models: dict[str, ModelEntry] = Field(min_length=1)
    optimizers: dict[str, OptimizerEntry] = Field(min_length=1)
    weight_decays: list[Any] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    penalize_bias: bool = True
    penalize_scales: bool = True
    train_epochs: Literal["every", "last"] = "every"
    threads: Count = 1
    baseline: bool | None = None
    engine: Literal["auto", "torch", "numpy"] = "auto"
    precision: Literal["float32", "float64"] = "float32"
    sample: SampleEntry | None = None
    evaluate_splits: list[Literal["train", "val", "test"]] = ["train", "val", "test"]
    together: bool = False
    derived: dict[str, DerivedEntry] = {}
    per_class: dict[str, dict[str, Any] | None] | list[str] = []
    analyses: dict[str, dict[str, Any] | None] | list[str] | None = None
    figures: dict[str, dict[str, Any] | None] | list[str] | None = None


def checked_kind(
    package: str, kind: str, given: Mapping[str, Any], path: Path, where: str
) -> recipes.Kind:
    """Return a kind with its options checked and its defaults filled in."""
    refuse_unknown(kind, kinds.names(package), path, f"{where}.kind", package.rstrip("s"))
    return recipes.Kind(kind, checked_options(kinds.options(package, kind), given, path, where))


def checked_options(cls: type, given: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Return options checked against a dataclass, its defaults filled in, as plain values."""
    try:
        options = TypeAdapter(dataclass(cls, frozen=True, config=STRICT)).validate_python(
            dict(given)
        )
    except ValidationError as error:
        raise ConfigError(_message(error, cls.__dataclass_fields__, path, where)) from None
    return recipes.plain(options)


def checked(model: type[BaseModel], value: Any, path: Path, where: str = "") -> Any:
    """Return a value checked against one of the models above."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(_message(error, model.model_fields, path, where)) from None


def refuse_unknown(value: Any, known: Iterable[Any], path: Path, where: str, what: str) -> None:
    """Raise ConfigError unless a value is a known one; the message offers the nearest."""
    if value not in list(known):
        raise ConfigError(f"{path}: {where}: no {what} {value!r}: {nearest(value, known)}")


def _message(error: ValidationError, fields: Iterable[str], path: Path, where: str) -> str:
    lines = []
    for problem in error.errors():
        *parents, key = [where, *map(str, problem["loc"])] if problem["loc"] else [where]
        name = ".".join(part for part in [*parents, key] if part)
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            siblings = fields if len(problem["loc"]) == 1 else _fields_at(problem["loc"][:-1])
            lines.append(f"{path}: {name}: unknown key: {nearest(key, siblings)}")
        elif problem["type"] == "missing":
            lines.append(f"{path}: {name}: missing")
        elif problem["type"] == "value_error":
            lines.append(f"{path}: {name}: {problem['ctx']['error']}")
        else:
            said = problem["msg"][0].lower() + problem["msg"][1:]
            lines.append(f"{path}: {name}: {problem['input']!r}: {said}")
    return "\n".join(lines)


def _fields_at(location: tuple[Any, ...]) -> Iterable[str]:
    """Return the keys known at a place inside a file, for the hint beside an unknown one."""
    inner = {
        "optimizers": OptimizerEntry,
        "phases": PhaseEntry,
        "run": RunEntry,
        "start": StartEntry,
        "stop": StopEntry,
        "early": EarlyEntry,
    }
    named = [inner[key] for key in location if key in inner]
    return named[-1].model_fields if named else ()
