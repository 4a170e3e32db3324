"""A study file: checked, and turned into a plain `recipes.study.Study`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import (
    axis_keys,
    backbone_keys,
    checkpoint_keys,
    class_decay_keys,
    expected_keys,
    grids,
    model_keys,
    optimizer_keys,
    output_keys,
    schema,
    yaml_files,
)
from cobaye.config.study_entries import LABEL
from cobaye.errors import ConfigError
from cobaye.recipes.study import Backbone, Dataset, Study
from cobaye.storage import table_names
from cobaye.storage.paths import SPLITS

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
LONGEST = 200  # letters of a name: a file's name has at most 255, and some add to it


def read(
    file: Path,
    datasets: Mapping[str, Dataset],
    backbones: Mapping[str, Backbone],
    figures: Mapping[str, str],
) -> Study:
    """Return the study of a file.

    datasets, backbones: name → entry, of all there are. figures: name → kind, of all there are.
    Raises ConfigError.
    """
    return _Reader(file, datasets, backbones, figures).study()


def name(given: Any, path: Path) -> str:
    """Return a name that paths can hold; raises ConfigError for any other value."""
    if not isinstance(given, str) or not NAME.fullmatch(given):
        raise ConfigError(
            f"{path}: name {given!r}: names stand in paths: use small letters, digits, '-', '.'"
        )
    if len(given) > LONGEST:
        raise ConfigError(
            f"{path}: name {given!r}: {len(given)} letters: names stand in paths: at most {LONGEST}"
        )
    return given


class _Reader:
    def __init__(
        self,
        file: Path,
        datasets: Mapping[str, Dataset],
        backbones: Mapping[str, Backbone],
        figures: Mapping[str, str],
    ):
        self.file, self.datasets, self.backbones, self.known = file, datasets, backbones, figures

    def study(self) -> Study:
        content, grid = grids.expand(yaml_files.read_yaml(self.file), self.file)
        raw = schema.checked(schema.StudyFile, content, self.file)
        schema.refuse_unknown(raw.dataset, self.datasets, self.file, "dataset", "dataset")
        for key in raw.models:
            name(key, self.file)
        backbones = backbone_keys.names(raw, self.backbones, self.file)
        self._check_form(raw, bool(backbones))
        raw = backbone_keys.expand(raw, grid, self.file)
        pairs = grids.pairs(raw, grid, self.file)
        labels = self._labels(raw.weight_decays)
        own_decays = optimizer_keys.weight_decays(raw.optimizers, labels, self.file)
        splits = self._splits(raw.evaluate_splits)
        one_lambda = max(len(own_decays.get(one, labels)) for one in raw.optimizers) == 1
        analyses = self._analyses(raw, splits, one_lambda)
        study = Study(
            name=self.file.stem,
            dataset=raw.dataset,
            backbones=backbones,
            models={
                key: model_keys.read(model, self.file, f"models.{key}")
                for key, model in raw.models.items()
            },
            optimizers={
                name(key, self.file): self._optimizer(raw, key, pairs) for key in raw.optimizers
            },
            weight_decays=labels,
            seeds=self._unique("seeds", raw.seeds),
            penalize_bias=raw.penalize_bias,
            penalize_scales=raw.penalize_scales,
            train_epochs=raw.train_epochs,
            threads=raw.threads,
            figures=self._figures(raw, analyses, one_lambda),
            figure_width=raw.figure_width,
            analyses=analyses,
            baseline=raw.baseline,
            engine=raw.engine,
            precision=raw.precision,
            grid=grid,
            pairs=pairs,
            evaluate_splits=splits,
            together=raw.together,
            derived=grids.derived(raw, grid, self.file),
            per_class=class_decay_keys.read(raw, analyses, self.file),
            own_decays=own_decays,
            keep=checkpoint_keys.read(raw.keep, self.file),
            expected=tuple(raw.expected),
            choose_epoch=raw.choose_epoch,
        )
        self._refuse(study)
        return study

    def _refuse(self, study: Study) -> None:
        """Refuse keys that cannot be combined."""
        for each in study.derived:
            name(each.name, self.file)
        axis_keys.refuse(study, self.file)
        output_keys.refuse_networks(study, self.file)
        class_decay_keys.refuse_val(study, self.file)
        output_keys.refuse_decays(study, self.file)
        output_keys.refuse_one_unit(study, self.file)
        model_keys.refuse_numpy(study, self.file)
        model_keys.refuse_together(study, self.file)
        model_keys.refuse_bfloat16(study, self.file)
        grids.refuse_readings(study, self.file)
        checkpoint_keys.refuse(study, self.file)
        expected_keys.refuse(study, self.file)

    def _check_form(self, raw: schema.StudyFile, has_backbone: bool) -> None:
        """Refuse keys that the form of the inputs rules out: features, images or image files."""
        if raw.baseline and not has_backbone:
            raise ConfigError(f"{self.file}: baseline: true: needs a backbone")
        kind = self.datasets[raw.dataset].kind.kind
        form = kinds.constant("datasets", kind, "FORM", "images")
        if form == "features" and has_backbone:
            raise ConfigError(f"{self.file}: backbone: {raw.dataset} holds features, not images")
        if form == "files" and not has_backbone:
            raise ConfigError(
                f"{self.file}: backbone: missing: {raw.dataset} holds image files, which only a "
                "backbone reads (or resize them all: kind image-folder-resized)"
            )
        if form == "features":
            output_keys.refuse_pictures(raw.analyses, raw.dataset, self.file)
        on_features = form == "features" or has_backbone
        for name, model in raw.models.items():
            known = model.kind in kinds.names("networks")
            takes = kinds.constant("networks", model.kind, "INPUT") if known else None
            if on_features and takes == "images":
                raise ConfigError(
                    f"{self.file}: models.{name}.kind: {model.kind!r} takes images, and this study "
                    "trains on features"
                )
        for name, optimizer in raw.optimizers.items():
            if optimizer.normalize != "none" and on_features:
                raise ConfigError(
                    f"{self.file}: optimizers.{name}.normalize: {optimizer.normalize!r} is for "
                    "images; a study on features allows none only"
                )
            if optimizer.augment and on_features:
                raise ConfigError(
                    f"{self.file}: optimizers.{name}.augment: augmentation is for images, and this "
                    "study trains on features"
                )

    def _optimizer(
        self, study: schema.StudyFile, name: str, pairs: tuple[tuple[str, str], ...] | None
    ) -> recipes.Optimizer:
        raw, where = study.optimizers[name], f"optimizers.{name}"
        models = study.models.items()
        fitted = {key: model for key, model in models if pairs is None or (key, name) in pairs}
        return optimizer_keys.read(raw, fitted, self.file, where)

    def _labels(self, labels: list[Any]) -> tuple[str, ...]:
        values: dict[float, str] = {}
        for label in labels:
            where = f"{self.file}: weight_decays: {label!r}"
            if not isinstance(label, str):
                raise ConfigError(f"{where}: write it in quotes: the text stands in paths")
            value = _number(label)
            if value is None or not LABEL.fullmatch(label) or not value <= schema.LARGEST:
                raise ConfigError(
                    f"{where}: a weight decay is a finite number ≥ 0 such as '0', '1e-4' or '0.01',"
                    f" at most {schema.LARGEST:g}"
                )
            if value in values:
                raise ConfigError(f"{where}: the same number as {values[value]!r}")
            values[value] = label
        return tuple(labels)

    def _unique(self, key: str, values: list[Any]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ConfigError(f"{self.file}: {key}: {values}: a value stands twice")
        return tuple(values)

    def _splits(self, values: list[recipes.Split]) -> tuple[recipes.Split, ...]:
        if "val" not in values:
            raise ConfigError(
                f"{self.file}: evaluate_splits: {values}: val is missing: λ is chosen on it"
            )
        return tuple(split for split in SPLITS if split in self._unique("evaluate_splits", values))

    def _analyses(
        self, raw: schema.StudyFile, splits: tuple[recipes.Split, ...], one_lambda: bool
    ) -> dict[str, recipes.Kind]:
        """Return the analyses; without the split test there are none, as all of them read it."""
        if "test" in splits:
            return output_keys.analyses(raw.analyses, one_lambda, self.file)
        if raw.analyses:
            raise ConfigError(
                f"{self.file}: analyses: they read the split 'test', and evaluate_splits: "
                f"{list(splits)} leaves it out"
            )
        return {}

    def _figures(
        self, raw: schema.StudyFile, analyses: Mapping[str, recipes.Kind], one_lambda: bool
    ) -> dict[str, recipes.Kind]:
        makers = [*analyses, *([table_names.DERIVED] if raw.derived else [])]
        data = self.datasets[raw.dataset].kind
        left_out = output_keys.left_out(one_lambda, raw.keep == "last", data, self.known)
        figures = output_keys.figures(raw.figures, makers, self.known, left_out, self.file)
        for name, figure in figures.items():
            self._refuse_splits(name, figure, raw.evaluate_splits)
        return figures

    def _refuse_splits(self, name: str, figure: recipes.Kind, evaluated: list[str]) -> None:
        """Refuse a figure of a split that the study does not evaluate."""
        needed = kinds.constant("figures", figure.kind, "SPLITS", ())
        for split in {figure.options.get("split", "val"), *needed} - set(evaluated):
            raise ConfigError(
                f"{self.file}: figures: {name!r} shows the split {split!r}, and evaluate_splits: "
                f"{evaluated} leaves it out"
            )


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
