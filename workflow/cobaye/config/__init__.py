"""Config files, checked before anything is computed, with one clear message per mistake.

In: YAML. Out: plain dataclasses of `recipes`; pydantic stays in this package. The Snakefile is
parsed again in every job of a cluster, so nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import recipes
from cobaye.config import model_keys, schema, study_files, yaml_files
from cobaye.errors import ConfigError
from cobaye.recipes.study import Backbone, Dataset, Run


class Config:
    """The content of the config files: settings, datasets, backbones, studies.

    Parameters
    ----------
    settings : the content of config.yaml, `--config` on top.
    folder : the folder of datasets.yaml, backbones.yaml and studies/.
    figures : figure name → kind, of every figure there is.

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
            file.stem: study_files.read(file, self.datasets, self.backbones, figures)
            for file in _study_files(folder / "studies")
        }
        self.default_studies = checked.studies
        for name in checked.studies:
            schema.refuse_unknown(name, self.studies, folder / "config.yaml", "studies", "study")
        self._check_backbones()
        self._check_derived()
        model_keys.refuse_starts(self.studies, self.backbones, folder)

    def _named(self, file: str, make: Any) -> dict[str, Any]:
        path = self.folder / file
        content = yaml_files.read_yaml(path)
        return {
            study_files.name(name, path): make(name, value, path) for name, value in content.items()
        }

    def _dataset(self, name: str, value: Any, path: Path) -> Dataset:
        checked = schema.checked(schema.DatasetEntry, value, path, name)
        kind = schema.checked_kind("datasets", checked.kind, checked.options(), path, name)
        return Dataset(name, kind, checked.shards)

    def _backbone(self, name: str, value: Any, path: Path) -> Backbone:
        checked = schema.checked(schema.BackboneEntry, value, path, name)
        caching = recipes.Caching(
            checked.batch_size, checked.precision, checked.storage, checked.skip_unreadable
        )
        if checked.run is not None:
            run = checked.run.model_dump()
            origin = {"study": run.pop("study"), "run": Run(**run)}
        elif checked.callable is not None:
            origin = {"callable": checked.callable, "reads": tuple(checked.reads)}
        else:
            network = {"model": checked.torchvision.model}
            model = schema.checked_kind("networks", "torchvision", network, path, name)
            origin = checked.torchvision.model_dump(exclude={"model"}) | {"model": model}
        for each in checked.never_saw:
            schema.refuse_unknown(each, self.datasets, path, f"{name}.never_saw", "dataset")
        unseen = tuple(checked.never_saw)
        return Backbone(name, caching, checked.threads, **origin, never_saw=unseen)

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
                ("weight_decay", study.decays(backbone.run.optimizer)),
                ("seed", study.seeds),
            ]:
                schema.refuse_unknown(
                    getattr(backbone.run, key), known, path, f"{where}.{key}", key
                )
            if study.backbones:
                raise ConfigError(
                    f"{path}: {where}.study: {backbone.study!r} was trained on features of the "
                    f"backbone {study.backbones[0]!r}; a backbone must have seen images"
                )

    def _check_derived(self) -> None:
        """Refuse derived runs named as a model: both names stand at the same place of a path."""
        models = {name for study in self.studies.values() for name in study.models}
        for study in self.studies.values():
            for run in study.derived_runs():
                if run.model in models:
                    path = self.folder / "studies" / f"{study.name}.yaml"
                    raise ConfigError(f"{path}: derived: {run.model!r} is the name of a model")


def _study_files(folder: Path) -> list[Path]:
    """Return the files of studies, without an editor's or a system's own; refuse misplaced ones."""
    found = []
    for file in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        if file.name.startswith((".", "#")):
            continue
        if file.suffix == ".yml" or file.parent != folder:
            raise ConfigError(f"{file}: a study is a file {folder}/<name>.yaml: move or rename it")
        found.append(file)
    return found
