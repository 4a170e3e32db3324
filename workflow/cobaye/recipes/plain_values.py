"""Dataclasses as plain values, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

# Metadata of a field that is omitted while at its default, so older recipes keep their fingerprint.
OMITTED = {"omitted": True}


def plain(recipe: Any) -> Any:
    """Return a recipe as JSON-ready values (tuples become lists)."""
    if dataclasses.is_dataclass(recipe):
        named = {f.name: (f, getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}
        return {
            name: plain(value)
            for name, (field, value) in named.items()
            if not (field.metadata.get("omitted") and value == field.default)
        }
    if isinstance(recipe, dict):
        return {key: plain(value) for key, value in recipe.items()}
    if isinstance(recipe, list | tuple):
        return [plain(value) for value in recipe]
    return recipe


def parse(cls: Any, value: Any) -> Any:
    """Return the dataclass ``cls`` from its plain values, nested dataclasses included."""
    if isinstance(cls, types.UnionType):
        # An optional dataclass, or one number or several.
        several = isinstance(value, list | tuple)
        return None if value is None else parse(typing.get_args(cls)[several], value)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        return cls(**{key: parse(hints[key], item) for key, item in value.items()})
    if typing.get_origin(cls) is tuple:
        return tuple(parse(typing.get_args(cls)[0], item) for item in value)
    return value
