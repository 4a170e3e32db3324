"""The config, checked: one clear message per mistake, before anything is computed.

For the Snakefile, which is parsed again in every job of a cluster, so nothing here imports torch.
What it hands on is plain (`recipes`): pydantic stays in `schema`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, models, optimizer_keys, products, recipes, schema, yaml_files
from cobaye.errors import ConfigError
from cobaye.paths import RESERVED

LABEL = re.compile(r"[0-9.]+(e[-+]?[0-9]+)?")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


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
        checked = schema.checked(schema.SettingsFile, dict(settings), folder / "config.yaml")
        self.device: str = checked.device
        self.datasets = self._named("datasets.yaml", self._dataset)
        self.backbones = self._named("backbones.yaml", self._backbone)
        self.studies = {
            file.stem: _Reader(self, file, figures).study()
            for file in sorted((folder / "studies").glob("*.yaml"))
        }
        self.default_studies = checked.studies
        for name in checked.studies:
            schema.refuse_unknown(name, self.studies, folder / "config.yaml", "studies", "study")
        self._check_backbones()
        models.refuse_starts(self.studies, self.backbones, folder)

    def _named(self, file: str, make: Any) -> dict[str, Any]:
        path = self.folder / file
        content = yaml_files.read_yaml(path)
        return {_name(name, path): make(name, value, path) for name, value in content.items()}

    def _dataset(self, name: str, value: Any, path: Path) -> recipes.Dataset:
        checked = schema.checked(schema.DatasetEntry, value, path, name)
        kind = schema.checked_kind("datasets", checked.kind, checked.options(), path, name)
        return recipes.Dataset(name, kind, checked.shards)

    def _backbone(self, name: str, value: Any, path: Path) -> recipes.Backbone:
        checked = schema.checked(schema.BackboneEntry, value, path, name)
        caching = recipes.Caching(
            checked.batch_size, checked.precision, checked.storage, checked.skip_unreadable
        )
        if checked.run is not None:
            run = checked.run.model_dump()
            origin = {"study": run.pop("study"), "run": recipes.Run(**run)}
        else:
            given = checked.torchvision
            model = schema.checked_kind(
                "networks", "torchvision", {"model": given.model}, path, name
            )
            origin = given.model_dump(exclude={"model"}) | {"model": model}
        return recipes.Backbone(name, caching, checked.threads, **origin)

    def _check_backbones(self) -> None:
        path = self.folder / "backbones.yaml"
        trained = {name: each for name, each in self.backbones.items() if each.run}
        for name, backbone in trained.items():
            where = f"{name}.run"
            schema.refuse_unknown(backbone.study, self.studies, path, f"{where}.study", "study")
            study = self.studies[backbone.study]
            for key, known in [
                ("model", study.models),
                ("optimizer", study.optimizers),
                ("weight_decay", study.weight_decays),
                ("seed", study.seeds),
            ]:
                schema.refuse_unknown(
                    getattr(backbone.run, key), known, path, f"{where}.{key}", key
                )
            if study.data.backbone is not None:
                raise ConfigError(
                    f"{path}: {where}.study: {backbone.study!r} was trained on features of the "
                    f"backbone {study.data.backbone!r}; a backbone must have seen images"
                )


class _Reader:
    """Reads one study file."""

    def __init__(self, config: Config, file: Path, figures: Mapping[str, str]):
        self.config, self.file, self.known_figures = config, file, figures

    def study(self) -> recipes.Study:
        name = _name(self.file.stem, self.file)
        if name in RESERVED:
            raise ConfigError(f"{self.file}: a study may not be named {name!r}")
        raw = schema.checked(schema.StudyFile, yaml_files.read_yaml(self.file), self.file)
        schema.refuse_unknown(raw.dataset, self.config.datasets, self.file, "dataset", "dataset")
        self._check_form(raw)
        if raw.backbone is not None:
            schema.refuse_unknown(
                raw.backbone, self.config.backbones, self.file, "backbone", "backbone"
            )
        analyses = products.analyses(raw.analyses, self.file)
        study = recipes.Study(
            name=name,
            data=recipes.Data(raw.dataset, raw.backbone),
            models={
                _name(key, self.file): models.read(model, self.file, f"models.{key}")
                for key, model in raw.models.items()
            },
            optimizers={_name(key, self.file): self._optimizer(raw, key) for key in raw.optimizers},
            weight_decays=self._labels(raw.weight_decays),
            seeds=self._unique("seeds", raw.seeds),
            penalize_bias=raw.penalize_bias,
            penalize_scales=raw.penalize_scales,
            train_epochs=raw.train_epochs,
            threads=raw.threads,
            figures=products.figures(raw.figures, analyses, self.known_figures, self.file),
            analyses=analyses,
            baseline=raw.baseline,
            engine=raw.engine,
            precision=raw.precision,
        )
        models.refuse_numpy(study, self.file)
        return study

    def _check_form(self, raw: schema.StudyFile) -> None:
        """Refuse a backbone for ready-made features, and training on files without one."""
        if raw.baseline and raw.backbone is None:
            raise ConfigError(f"{self.file}: baseline: true, but the study has no backbone")
        kind = self.config.datasets[raw.dataset].kind.kind
        form = kinds.constant("datasets", kind, "FORM", "images")
        if form == "features" and raw.backbone is not None:
            raise ConfigError(f"{self.file}: backbone: {raw.dataset} holds features, not images")
        if form == "files" and raw.backbone is None:
            raise ConfigError(
                f"{self.file}: backbone: missing: {raw.dataset} holds image files, which only a "
                "backbone reads (or resize them all: kind image-folder-resized)"
            )
        given_features = form == "features" or raw.backbone is not None
        for name, model in raw.models.items():
            known = model.kind in kinds.names("networks")
            takes = kinds.constant("networks", model.kind, "INPUT") if known else None
            if given_features and takes == "images":
                raise ConfigError(
                    f"{self.file}: models.{name}.kind: {model.kind!r} takes images, and this study "
                    "trains on features"
                )
        for name, optimizer in raw.optimizers.items():
            if optimizer.normalize != "none" and given_features:
                raise ConfigError(
                    f"{self.file}: optimizers.{name}.normalize: {optimizer.normalize!r} is for "
                    "images; features are used as they are: none"
                )
            if optimizer.augment and given_features:
                raise ConfigError(
                    f"{self.file}: optimizers.{name}.augment: augmentation is for images, and this "
                    "study trains on features"
                )

    def _kind(self, package: str, value: schema.WithOptions, where: str) -> recipes.Kind:
        return schema.checked_kind(package, value.kind, value.options(), self.file, where)

    def _optimizer(self, study: schema.StudyFile, name: str) -> recipes.Optimizer:
        raw, where = study.optimizers[name], f"optimizers.{name}"
        optimizer_keys.check(raw, study.models, self.file, where)
        return recipes.Optimizer(
            algorithm=self._kind("optimizers", raw.algorithm, f"{where}.algorithm"),
            learning_rate=raw.learning_rate,
            schedule=self._kind("schedules", raw.schedule, f"{where}.schedule"),
            batch_size=raw.batch_size,
            epochs=raw.epochs or 1,
            normalize=raw.normalize,
            shuffle=raw.shuffle,
            l1=raw.l1,
            max_norm=raw.max_norm,
            stop=recipes.parse(recipes.Stop, raw.stop.model_dump()),
            augment=tuple(
                self._kind("augmentations", each, f"{where}.augment[{number}]")
                for number, each in enumerate(raw.augment)
            ),
            zca_epsilon=raw.zca_epsilon,
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
