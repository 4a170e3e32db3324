"""What holds of every config that is accepted, stated apart from the schema that sees to it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import Config, yaml_files
from cobaye.errors import ConfigError
from cobaye.planning import needs, refusals, runs, targets
from cobaye.planning.plan import Plan
from cobaye.recipes.study import Study
from cobaye.storage import files, paths
from cobaye.training import schedules
from tests.conftest import ROOT, whole

# A component of a path that needs no quotes in a shell and leaves no folder.
SAFE = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._@=,+-]{0,254}")


def load(folder: Path, figures: Mapping[str, str]) -> Config:
    """Return a config as the Snakefile reads it."""
    return whole(Config(yaml_files.read_yaml(folder / "config.yaml"), folder, figures))


def plan(config: Config, study: str) -> None:
    """Plan a study as the Snakefile does before its first job, and refuse what it refuses."""
    of_study, planned = config.studies[study], Plan(config, ROOT / "workflow/scripts")
    for name in config.datasets:
        planned.stage("prepare_dataset", dataset=name)
        needs.prepare_dataset(config, name)
    every = of_study.runs()
    for run in {every[0], every[-1]}:
        identity = runs.identity(study, run)
        for rule, needed in (("train", needs.train), ("evaluate", needs.evaluate)):
            files.canonical(planned.stage(rule, **identity).recipe)
            needed(config, **identity)
    makers = ["tables", *of_study.analyses]
    for rule, maker in zip(["tabulate", *["analyse"] * len(makers)], makers, strict=False):
        planned.stage(rule, study=study, maker=maker)
    for figure in of_study.figures:
        planned.stage("plot", study=study, figure=figure)
    for model in of_study.models:
        if said := refusals.of_network(config, study, model):
            raise ConfigError("\n".join(said))


def violations(config: Config) -> Iterator[str]:
    """Yield what a config breaks."""
    if not config.default_studies or set(config.default_studies) - set(config.studies):
        yield f"studies: {config.default_studies}"
    for family, kind in _kinds(config):
        if kinds.without_axis(kind.kind) not in kinds.names(family):
            yield f"no {family} {kind.kind}"
        recipes.parse(kinds.options(family, kind.kind), kind.options)
    for dataset in config.datasets.values():
        if not 1 <= dataset.shards <= 99:
            yield f"{dataset.name}: shards {dataset.shards}"
    for backbone in config.backbones.values():
        if set(backbone.never_saw) - set(config.datasets):
            yield f"{backbone.name}: never_saw {backbone.never_saw}"
        if backbone.study and backbone.run not in config.studies[backbone.study].runs():
            yield f"{backbone.name}: run {backbone.run}"
    for each in (*config.datasets.values(), *config.backbones.values(), *config.studies.values()):
        yield from _numbers(each.name, each)
    for study in config.studies.values():
        yield from (f"{study.name}: {said}" for said in _study(config, study))


def _study(config: Config, study: Study) -> Iterator[str]:
    if study.dataset not in config.datasets or set(study.backbones) - set(config.backbones):
        yield "dataset or backbone that is not there"
    for key in ("models", "optimizers", "weight_decays", "seeds", "evaluate_splits"):
        value = list(getattr(study, key))
        if not value or len(set(value)) < len(value):
            yield f"{key}: {value}"
    for optimizer in study.optimizers:
        values = [float(label) for label in study.decays(optimizer)]
        if not all(0 <= value <= 1e30 for value in values) or len(set(values)) < len(values):
            yield f"λ of {optimizer}: {values}"
    if "val" not in study.evaluate_splits or set(study.evaluate_splits) - set(paths.SPLITS):
        yield f"evaluate_splits: {study.evaluate_splits}"
    if any(type(seed) is not int or not 0 <= seed < 2**63 for seed in study.seeds):
        yield f"seeds: {study.seeds}"
    trained = {(run.model, run.optimizer) for run in study.runs()}
    if {model for model, _ in trained} != set(study.models) and study.pairs is None:
        yield f"trained: {trained}"
    for name, optimizer in study.optimizers.items():
        yield from (f"optimizers.{name}: {said}" for said in _optimizer(optimizer))
    wanted = targets.of_study(config, study.name)
    if not wanted or len(set(wanted)) < len(wanted):
        yield "targets that are none, or twice"
    for part in {part for target in wanted for part in target.split("/")}:
        if not SAFE.fullmatch(part):
            yield f"a path with {part!r}"


def _optimizer(optimizer: recipes.Optimizer) -> Iterator[str]:
    rates = [optimizer.learning_rate, *(phase.learning_rate for phase in optimizer.phases)]
    if any(rate is not None and not 0 < rate < math.inf for rate in rates):
        yield f"learning rates {rates}"
    if not (1 <= optimizer.epochs <= 9999 and (optimizer.batch_size or 1) >= 1):
        yield f"epochs {optimizer.epochs}, batch size {optimizer.batch_size}"
    if optimizer.l1 < 0 or (optimizer.max_norm is not None and optimizer.max_norm <= 0):
        yield f"l1 {optimizer.l1}, max_norm {optimizer.max_norm}"
    if not optimizer.zca_epsilon > 0:
        yield f"zca_epsilon {optimizer.zca_epsilon}"
    if not kinds.constant("schedules", optimizer.schedule.kind, "HISTORY"):
        for epoch in {1, 2, optimizer.epochs // 2 or 1, optimizer.epochs}:
            factor = schedules.factor(optimizer.schedule, epoch, optimizer.epochs)
            if not 0 <= factor < math.inf:
                yield f"{optimizer.schedule}: {factor} at epoch {epoch}"


def _kinds(config: Config) -> Iterator[tuple[str, recipes.Kind]]:
    yield from (("datasets", each.kind) for each in config.datasets.values())
    for study in config.studies.values():
        yield from (("networks", model.network) for model in study.models.values())
        for optimizer in study.optimizers.values():
            yield "optimizers", optimizer.algorithm
            yield "schedules", optimizer.schedule
            yield from (("augmentations", each) for each in optimizer.augment)
        yield from (("analyses", each) for each in study.analyses.values())
        yield from (("ways", each) for each in study.per_class.values())
        yield from (("figures", each) for each in study.figures.values())


def _numbers(where: str, value: Any) -> Iterator[str]:
    """Yield numbers that are not finite, wherever they stand."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict | list | tuple):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(f"{where}.{key}", each)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value}"
