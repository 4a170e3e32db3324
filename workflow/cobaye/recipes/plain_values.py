"""Dataclasses as plain values, and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

# Of a field that is left out at its default, so that recipes without it stay as they were.
UNSAID = {"unsaid": True}


def plain(recipe: Any) -> Any:
    """Return a recipe as JSON-ready values (tuples become lists)."""
    if dataclasses.is_dataclass(recipe):
        named = {f.name: (f, getattr(recipe, f.name)) for f in dataclasses.fields(recipe)}
        return {
            name: plain(value)
            for name, (field, value) in named.items()
            if not (field.metadata.get("unsaid") and value == field.default)
        }
    if isinstance(recipe, dict):
        return {key: plain(value) for key, value in recipe.items()}
    if isinstance(recipe, list | tuple):
        return [plain(value) for value in recipe]
    return recipe


def parse(cls: Any, value: Any) -> Any:
    """Return the dataclass ``cls`` (nested ones too) from what :func:`plain` made of it."""
    if isinstance(cls, types.UnionType):
        # Of an optional dataclass, or of a number that may be several.
        several = isinstance(value, list | tuple)
        return None if value is None else parse(typing.get_args(cls)[several], value)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        return cls(**{key: parse(hints[key], item) for key, item in value.items()})
    if typing.get_origin(cls) is tuple:
        return tuple(parse(typing.get_args(cls)[0], item) for item in value)
    return value
