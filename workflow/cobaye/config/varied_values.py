"""The schema of the values that a `grid` lists for a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def lists(properties: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return key → schema of the values that a grid lists for it."""
    return {key: {"anyOf": [_plain(each), _product(each)]} for key, each in properties.items()}


def _plain(each: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": _bare(each)}


def _product(each: Schema) -> Schema:
    """Return the schema of ``{product: [[a, b], [c]]}``, for a field that is a list itself."""
    place = {"type": "array", "items": _bare(each).get("items", {})}
    lists = {"properties": {"product": {"type": "array", "items": place}}}
    return {"type": "object", "required": ["product"], "additionalProperties": False, **lists}


def _bare(schema: Any) -> Any:
    """Return a schema without what it says of meanings and defaults."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _bare(v) for k, v in schema.items() if k not in ("description", "default")}
