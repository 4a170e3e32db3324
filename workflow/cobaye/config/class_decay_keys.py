"""The key `per_class` of a study file, checked. For `studies`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.storage import table_names
from cobaye.storage.paths import SPLITS

# The analysis that judges them on test.
JUDGE = "per-class"


def read(
    raw: schema.StudyFile, analyses: Mapping[str, recipes.Kind], path: Path
) -> dict[str, recipes.Kind]:
    """Return the ways in which a λ is chosen for each class, and refuse what they cannot have."""
    if JUDGE in analyses and not raw.per_class:
        raise ConfigError(f"{path}: analyses: {JUDGE!r} judges the ways of per_class: list some")
    found = {}
    for way, options in raw.per_class.items():
        where = f"per_class.{way}"
        schema.refuse_unknown(way, kinds.names("ways"), path, "per_class", "way")
        found[way] = schema.checked_kind("ways", way, options or {}, path, where)
        for table in table_names.read_by("ways", way):
            maker = table_names.makers()[table]
            if maker not in (table_names.TABULATE, *analyses):
                raise ConfigError(f"{path}: {where}: it needs {maker!r} in analyses")
    if raw.per_class:
        _check_study(raw, path)
    return found


def _check_study(raw: schema.StudyFile, path: Path) -> None:
    """Refuse models that have no weights of each class, and runs that are not trained alone."""
    for key in ("together", "sample"):
        if getattr(raw, key):
            raise ConfigError(f"{path}: per_class: a study with {key} has none")
    for name, optimizer in raw.optimizers.items():
        if optimizer.phases:
            raise ConfigError(f"{path}: per_class: optimizers.{name}: one with phases has none")
    if raw.engine == "numpy":
        raise ConfigError(f"{path}: per_class: engine: numpy has one λ for all classes")
    if len(set(raw.evaluate_splits)) < len(SPLITS):
        raise ConfigError(f"{path}: per_class: it needs all of evaluate_splits: {list(SPLITS)}")
    for name, model in raw.models.items():
        if model.kind in kinds.names("networks") and (
            kinds.constant("networks", model.kind, "ENGINE") != "linear"
            or (model.loss or kinds.constant("networks", model.kind, "LOSS")) == "squared-error"
        ):
            raise ConfigError(
                f"{path}: per_class: models.{name} must be linear in its inputs, with "
                "cross-entropy: only then do all of its weights belong to a class"
            )
