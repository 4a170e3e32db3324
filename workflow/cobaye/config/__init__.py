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
from cobaye.config.lazily import Lazily
from cobaye.errors import ConfigError
from cobaye.recipes.study import Backbone, Dataset, Run, Study
from cobaye.storage.paths import RESERVED


class Config:
    """The content of the config files: settings, datasets, backbones, studies.

    The names of datasets, backbones and studies are known at once. What stands under a name is read
    and checked when it is first asked for, together with what it refers to: a mistake in a study
    that nobody asks for stops nothing.

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
        self.folder, self._figures = folder, figures
        checked = schema.checked(schema.SettingsFile, dict(settings), folder / "config.yaml")
        self.device: str = checked.device
        self.datasets, _ = self._named("datasets.yaml", self._dataset)
        self.backbones, given = self._named("backbones.yaml", self._backbone)
        # Those that are code, known without reading the studies that trained others.
        self.callables = [
            name for name, entry in given.items() if isinstance(entry, dict) and "callable" in entry
        ]
        files = {file.stem: file for file in _study_files(folder / "studies")}
        # Studies as their own files state them, and those whose references were checked too.
        self._alone = Lazily(files, lambda name: self._study(files[name]))
        self.studies = Lazily(files, self._checked_study)
        self.default_studies = checked.studies
        for name in checked.studies:
            schema.refuse_unknown(name, self.studies, folder / "config.yaml", "studies", "study")

    def _named(self, file: str, make: Any) -> tuple[Lazily[Any], dict[str, Any]]:
        path = self.folder / file
        content = yaml_files.read_yaml(path)
        names = [study_files.name(name, path) for name in content]
        return Lazily(names, lambda name: make(name, content[name], path)), content

    def _study(self, file: Path) -> Study:
        return study_files.read(file, self.datasets, self.backbones, self._figures)

    def _checked_study(self, name: str) -> Study:
        study = self._alone[name]
        for run in study.derived_runs():
            if run.model in study.models:
                path = self.folder / "studies" / f"{name}.yaml"
                raise ConfigError(f"{path}: derived: {run.model!r} is the name of a model")
        for backbone in study.backbones:
            _ = self.backbones[backbone]
        model_keys.refuse_starts(study, self._alone, self.backbones, self.folder)
        return study

    def _dataset(self, name: str, value: Any, path: Path) -> Dataset:
        checked = schema.checked(schema.DatasetEntry, value, path, name)
        kind = schema.checked_kind("datasets", checked.kind, checked.options(), path, name)
        return Dataset(name, kind, checked.shards, checked.long_tail)

    def _backbone(self, name: str, value: Any, path: Path) -> Backbone:
        checked = schema.checked(schema.BackboneEntry, value, path, name)
        caching = recipes.Caching(
            checked.batch_size, checked.precision, checked.storage, checked.skip_unreadable
        )
        if checked.run is not None:
            run = checked.run.model_dump()
            origin = {"study": run.pop("study"), "run": Run(**run)}
            self._check_run(origin["study"], origin["run"], path, f"{name}.run")
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

    def _check_run(self, study_name: str, run: Run, path: Path, where: str) -> None:
        """Refuse a backbone whose study has no such run, or did not see images."""
        schema.refuse_unknown(study_name, self.studies, path, f"{where}.study", "study")
        study = self._alone[study_name]
        for key, known in [
            ("model", study.models),
            ("optimizer", study.optimizers),
            ("weight_decay", study.decays(run.optimizer)),
            ("seed", study.seeds),
        ]:
            schema.refuse_unknown(getattr(run, key), known, path, f"{where}.{key}", key)
        if study.backbones:
            raise ConfigError(
                f"{path}: {where}.study: {study_name!r} was trained on features of the "
                f"backbone {study.backbones[0]!r}; a backbone must have seen images"
            )


def _study_files(folder: Path) -> list[Path]:
    """Return the files of studies, without an editor's or a system's own.

    Refuse those at a wrong place, and those whose names paths or rules cannot have.
    """
    found = []
    for file in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        if file.name.startswith((".", "#")):
            continue
        if file.suffix == ".yml" or file.parent != folder:
            raise ConfigError(f"{file}: a study is a file {folder}/<name>.yaml: move or rename it")
        if study_files.name(file.stem, file) in RESERVED:
            raise ConfigError(f"{file}: a study may not be named {file.stem!r}")
        found.append(file)
    return found
