"""Values of config files checked against their classes, with one message per mistake."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cobaye import kinds, recipes
from cobaye.config import messages
from cobaye.config.entries import (
    LARGEST,
    STRICT,
    BackboneEntry,
    DatasetEntry,
    SettingsFile,
    WithOptions,
)
from cobaye.config.study_entries import (
    DerivedEntry,
    ModelEntry,
    OptimizerEntry,
    PhaseEntry,
    StudyFile,
)
from cobaye.errors import ConfigError, nearest

__all__ = [
    "LARGEST",
    "STRICT",
    "BackboneEntry",
    "DatasetEntry",
    "DerivedEntry",
    "ModelEntry",
    "OptimizerEntry",
    "PhaseEntry",
    "SettingsFile",
    "StudyFile",
    "WithOptions",
]


def checked_kind(
    family: str, kind: str, given: Mapping[str, Any], path: Path, where: str
) -> recipes.Kind:
    """Return a kind with its options checked and its defaults filled in."""
    refuse_unknown(kind, kinds.with_variants(family), path, f"{where}.kind", kinds.singular(family))
    return recipes.Kind(kind, checked_options(kinds.options(family, kind), given, path, where))


def checked_options(cls: type, given: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    """Return options checked against a dataclass, its defaults filled in, as plain values."""
    try:
        options = _adapter(cls).validate_python(dict(given))
    except ValidationError as error:
        raise ConfigError(messages.of(error, cls, path, where)) from None
    messages.refuse_booleans(given, options, path, where)
    return recipes.plain(options)


@functools.cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(dataclass(cls, frozen=True, config=STRICT))


def checked(model: type[BaseModel], value: Any, path: Path, where: str = "") -> Any:
    """Return a value checked against one of the models above."""
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(messages.of(error, model, path, where)) from None
    messages.refuse_booleans(value, made, path, where)
    return made


def refuse_unknown(value: Any, known: Iterable[Any], path: Path, where: str, what: str) -> None:
    """Raise ConfigError unless a value is a known one; the message offers the nearest."""
    if value not in list(known):
        raise ConfigError(f"{path}: {where}: no {what} {value!r}: {nearest(value, known)}")
