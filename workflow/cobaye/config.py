"""The config files, typed and checked: one clear message per mistake, before anything is computed.

Read by the Snakefile alone, and parsed again in every job of a cluster, so nothing here imports
torch. What it hands on is plain (`recipes`): pydantic stays in this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cobaye import kinds, recipes, schedules
from cobaye.errors import ConfigError, nearest
from cobaye.paths import RESERVED

LABEL = re.compile(r"[0-9.]+(e[-+]?[0-9]+)?")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
Count = Annotated[int, Field(ge=1)]

# What a last-layer study draws unless its file says otherwise.
LAST_LAYER_FIGURES = (
    "train-curves",
    "test-curves",
    "weight-norm",
    "three-classes",
    "best-lambda-train",
    "best-lambda-val",
    "best-lambda-test",
    "class-loss-train",
    "class-loss-val",
    "class-loss-test",
    "confusion",
    "confusion-zoom",
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _WithOptions(BaseModel):
    """A mapping whose `kind` says which further keys it may have."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    kind: str

    def options(self) -> dict[str, Any]:
        return self.__pydantic_extra__ or {}


class _Settings(_Strict):
    studies: list[str] = Field(min_length=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class _Dataset(_WithOptions):
    shards: Annotated[int, Field(ge=1, le=99)] = 1


class _Run(_Strict):
    study: str
    model: str
    optimizer: str
    weight_decay: str
    seed: int = 0


class _Backbone(_Strict):
    run: _Run
    batch_size: Count = 256
    precision: Literal["float32", "bfloat16"] = "float32"
    storage: Literal["float32", "float16"] = "float32"


class _Optimizer(_Strict):
    algorithm: _WithOptions
    learning_rate: float = Field(gt=0)
    schedule: _WithOptions = _WithOptions(kind="constant")
    batch_size: Count
    epochs: Annotated[int, Field(ge=1, le=9999)]
    normalize: Literal["none", "global", "channel"] = "none"


class _Study(_Strict):
    dataset: str
    backbone: str | None = None
    models: dict[str, _WithOptions] = Field(min_length=1)
    optimizers: dict[str, _Optimizer] = Field(min_length=1)
    weight_decays: list[Any] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    penalize_bias: bool = True
    train_epochs: Literal["every", "last"] = "every"
    threads: Count = 1
    figures: dict[str, dict[str, Any] | None] | list[str] = list(LAST_LAYER_FIGURES)


class Config:
    """Everything the config files say: settings, datasets, backbones, studies.

    Parameters
    ----------
    settings : the content of config.yaml, `--config` on top.
    folder : where datasets.yaml, backbones.yaml and studies/ lie.
    figures : figure name → kind, of every figure that can be asked for.

    Raises
    ------
    ConfigError, naming file, key, value, what is allowed and the nearest valid name.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path, figures: Mapping[str, str]):
        self.folder = folder
        checked = _check(_Settings, dict(settings), folder / "config.yaml")
        self.device: str = checked.device
        self.datasets = self._named("datasets.yaml", self._dataset)
        self.backbones = self._named("backbones.yaml", self._backbone)
        self.studies = {
            file.stem: _Reader(self, file, figures).study()
            for file in sorted((folder / "studies").glob("*.yaml"))
        }
        self.default_studies = checked.studies
        for name in checked.studies:
            _known(name, self.studies, folder / "config.yaml", "studies", "study")
        self._check_backbones()

    def _named(self, file: str, make: Any) -> dict[str, Any]:
        path = self.folder / file
        content = read_yaml(path)
        return {_name(name, path): make(name, value, path) for name, value in content.items()}

    def _dataset(self, name: str, value: Any, path: Path) -> recipes.Dataset:
        checked = _check(_Dataset, value, path, name)
        kind = checked_kind("datasets", checked.kind, checked.options(), path, name)
        return recipes.Dataset(name, kind, checked.shards)

    def _backbone(self, name: str, value: Any, path: Path) -> recipes.Backbone:
        checked = _check(_Backbone, value, path, name)
        run = checked.run.model_dump()
        caching = recipes.Caching(checked.batch_size, checked.precision, checked.storage)
        return recipes.Backbone(name, run.pop("study"), recipes.Run(**run), caching)

    def _check_backbones(self) -> None:
        path = self.folder / "backbones.yaml"
        for name, backbone in self.backbones.items():
            where = f"{name}.run"
            _known(backbone.study, self.studies, path, f"{where}.study", "study")
            study = self.studies[backbone.study]
            for key, known in [
                ("model", study.models),
                ("optimizer", study.optimizers),
                ("weight_decay", study.weight_decays),
                ("seed", study.seeds),
            ]:
                _known(getattr(backbone.run, key), known, path, f"{where}.{key}", key)
            self._refuse_cycle(name, path)

    def _refuse_cycle(self, name: str, path: Path) -> None:
        seen: list[str] = []
        current: str | None = name
        while current is not None:
            if current in seen:
                raise ConfigError(f"{path}: {name}: a backbone trained on its own features")
            seen.append(current)
            current = self.studies[self.backbones[current].study].data.backbone


class _Reader:
    """Reads one study file."""

    def __init__(self, config: Config, file: Path, figures: Mapping[str, str]):
        self.config, self.file, self.known_figures = config, file, figures

    def study(self) -> recipes.Study:
        name = _name(self.file.stem, self.file)
        if name in RESERVED:
            raise ConfigError(f"{self.file}: a study may not be named {name!r}")
        raw = _check(_Study, read_yaml(self.file), self.file)
        _known(raw.dataset, self.config.datasets, self.file, "dataset", "dataset")
        if raw.backbone is not None:
            _known(raw.backbone, self.config.backbones, self.file, "backbone", "backbone")
        return recipes.Study(
            name=name,
            data=recipes.Data(raw.dataset, raw.backbone),
            models={
                _name(key, self.file): self._kind("networks", model, f"models.{key}")
                for key, model in raw.models.items()
            },
            optimizers={
                _name(key, self.file): self._optimizer(optimizer, f"optimizers.{key}", raw)
                for key, optimizer in raw.optimizers.items()
            },
            weight_decays=self._labels(raw.weight_decays),
            seeds=self._unique("seeds", raw.seeds),
            penalize_bias=raw.penalize_bias,
            train_epochs=raw.train_epochs,
            threads=raw.threads,
            figures=self._figures(raw.figures),
        )

    def _kind(self, package: str, value: _WithOptions, where: str) -> recipes.Kind:
        return checked_kind(package, value.kind, value.options(), self.file, where)

    def _optimizer(self, raw: _Optimizer, where: str, study: _Study) -> recipes.Optimizer:
        if study.backbone is not None and raw.normalize != "none":
            raise ConfigError(
                f"{self.file}: {where}.normalize: {raw.normalize!r} is for images; "
                "features are used as they are: none"
            )
        schedule = raw.schedule
        _known(schedule.kind, schedules.KINDS, self.file, f"{where}.schedule.kind", "schedule")
        options = _options(
            schedules.KINDS[schedule.kind], schedule.options(), self.file, f"{where}.schedule"
        )
        return recipes.Optimizer(
            algorithm=self._kind("optimizers", raw.algorithm, f"{where}.algorithm"),
            learning_rate=raw.learning_rate,
            schedule=recipes.Kind(schedule.kind, options),
            batch_size=raw.batch_size,
            epochs=raw.epochs,
            normalize=raw.normalize,
        )

    def _labels(self, labels: list[Any]) -> tuple[str, ...]:
        values: dict[float, str] = {}
        for label in labels:
            where = f"{self.file}: weight_decays: {label!r}"
            if not isinstance(label, str):
                raise ConfigError(f"{where}: write it in quotes, as it shall stand in paths")
            value = _number(label)
            if value is None or not LABEL.fullmatch(label) or not math.isfinite(value):
                raise ConfigError(
                    f"{where}: a weight decay is a finite number ≥ 0 such as '0', '1e-4' or '0.01'"
                )
            if value in values:
                raise ConfigError(f"{where}: the same number as {values[value]!r}")
            values[value] = label
        return tuple(labels)

    def _unique(self, key: str, values: list[int]) -> tuple[int, ...]:
        if len(set(values)) < len(values):
            raise ConfigError(f"{self.file}: {key}: {values}: a value stands twice")
        return tuple(values)

    def _figures(self, raw: dict[str, Any] | list[str]) -> dict[str, recipes.Kind]:
        asked = raw if isinstance(raw, dict) else dict.fromkeys(raw)
        figures = {}
        for name, options in asked.items():
            _known(name, self.known_figures, self.file, "figures", "figure")
            kind = self.known_figures[name]
            fixed = kinds.constant("figures", kind, "NAMES")[name]
            given = {**(options or {}), **fixed}
            figures[name] = checked_kind("figures", kind, given, self.file, f"figures.{name}")
        return figures


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a key that stands twice in it is refused."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {content!r}")
    return content


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, less its silence about a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def checked_kind(
    package: str, kind: str, given: Mapping[str, Any], path: Path, where: str
) -> recipes.Kind:
    """Return a kind with its options checked and its defaults filled in."""
    _known(kind, kinds.names(package), path, f"{where}.kind", package.rstrip("s"))
    return recipes.Kind(kind, _options(kinds.options(package, kind), given, path, where))


def _options(cls: type, given: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    try:
        options = TypeAdapter(cls).validate_python(dict(given))
    except ValidationError as error:
        raise ConfigError(_message(error, cls.__dataclass_fields__, path, where)) from None
    return recipes.plain(options)


def _check(model: type[BaseModel], value: Any, path: Path, where: str = "") -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(_message(error, model.model_fields, path, where)) from None


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
        else:
            said = problem["msg"][0].lower() + problem["msg"][1:]
            lines.append(f"{path}: {name}: {problem['input']!r}: {said}")
    return "\n".join(lines)


def _fields_at(location: tuple[Any, ...]) -> Iterable[str]:
    """Return the keys known at a place inside a file, for the hint beside an unknown one."""
    inner = {"optimizers": _Optimizer, "run": _Run}
    return inner[location[0]].model_fields if location[0] in inner else ()


def _known(value: Any, known: Iterable[Any], path: Path, where: str, what: str) -> None:
    if value not in list(known):
        raise ConfigError(f"{path}: {where}: no {what} {value!r}: {nearest(value, known)}")


def _name(name: Any, path: Path) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: name {name!r}: it stands in paths: small letters, digits, '-' and '.'"
        )
    return name


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
