"""Which keys of a training recipe go with its algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cobaye import kinds, schema
from cobaye.errors import ConfigError


def check(
    entry: schema.OptimizerEntry, models: Mapping[str, schema.ModelEntry], path: Path, where: str
) -> None:
    """Refuse keys that the algorithm has no use for, missing ones, and models that it cannot fit.

    An unknown kind is left to `checked_kind`, which offers the nearest.
    """
    kind = entry.algorithm.kind
    known = kind in kinds.names("optimizers")
    refused = kinds.constant("optimizers", kind, "REFUSES", ()) if known else ()
    for key in ("learning_rate", "batch_size", "epochs"):
        if key not in refused and getattr(entry, key) is None:
            raise ConfigError(f"{path}: {where}.{key}: missing")
    for key in refused:
        if key in entry.model_fields_set:
            raise ConfigError(f"{path}: {where}.{key}: {kind!r} takes no {key}")
    if not known or kinds.constant("optimizers", kind, "ENGINE") is None:
        return
    networks = kinds.names("networks")
    fitted = {name: model for name, model in models.items() if model.kind in networks}
    for name, model in fitted.items():
        if kinds.constant("networks", model.kind, "ENGINE") != "linear":
            raise ConfigError(
                f"{path}: {where}.algorithm.kind: {kind!r} is for networks that are linear in "
                f"their inputs (linear), and models.{name} is {model.kind!r}"
            )
        if (model.loss or kinds.constant("networks", model.kind, "LOSS")) == "squared-error":
            raise ConfigError(
                f"{path}: {where}.algorithm.kind: {kind!r} minimises the cross-entropy, and the "
                f"loss of models.{name} is 'squared-error'"
            )
