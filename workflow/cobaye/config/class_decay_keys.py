"""The key `per_class` of a study file: checked, and turned into the ways of choosing λ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import model_keys, schema
from cobaye.errors import ConfigError
from cobaye.storage import table_names
from cobaye.storage.paths import SPLITS


def read(
    raw: schema.StudyFile, analyses: Mapping[str, recipes.Kind], path: Path
) -> dict[str, recipes.Kind]:
    """Return the ways of choosing a λ for each class: name → kind with its options.

    Raises ConfigError for a study that no way can serve, and for missing analyses.
    """
    for name in analyses:
        if kinds.constant("analyses", name, "READS_CLASS_DECAY") is True and not raw.per_class:
            raise ConfigError(f"{path}: analyses: {name!r} needs per_class: list one way or more")
    ways = {}
    for way, options in raw.per_class.items():
        where = f"per_class.{way}"
        schema.refuse_unknown(way, kinds.names("ways"), path, "per_class", "way")
        ways[way] = schema.checked_kind("ways", way, options or {}, path, where)
        for table in table_names.read_by("ways", way):
            maker = table_names.makers()[table]
            if maker not in (table_names.TABULATE, *analyses):
                raise ConfigError(
                    f"{path}: {where}: needs {maker!r} in analyses, which makes the table {table!r}"
                )
    if ways:
        _refuse_combinations(raw, path)
    return ways


def _refuse_combinations(raw: schema.StudyFile, path: Path) -> None:
    """Refuse keys that per_class cannot be combined with, and models it is not defined for."""
    refused = {
        "together": raw.together,
        "sample": raw.sample,
        "engine: numpy": raw.engine == "numpy",
        **{f"optimizers.{name}.phases": each.phases for name, each in raw.optimizers.items()},
    }
    for key, given in refused.items():
        if given:
            raise ConfigError(f"{path}: per_class: cannot be combined with {key}")
    if len(set(raw.evaluate_splits)) < len(SPLITS):
        raise ConfigError(
            f"{path}: evaluate_splits: {raw.evaluate_splits}: per_class needs all of {list(SPLITS)}"
        )
    for name, model in raw.models.items():
        if model.kind in kinds.names("networks") and (
            model.kind not in model_keys.linear_networks()
            or model_keys.loss(model) != "cross-entropy"
        ):
            raise ConfigError(
                f"{path}: per_class: models.{name} must be linear in its inputs and have the loss "
                "cross-entropy, so that each weight belongs to one class"
            )
