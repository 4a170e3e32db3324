"""The message for values of a config file that pydantic refuses: a line per mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from cobaye.errors import nearest


def of(error: ValidationError, checked: type, path: Path, where: str) -> str:
    """Return a line per mistake: file, place, value, what is allowed.

    checked: the class that the value was checked against, whose keys stand beside an unknown one.
    """
    lines = []
    for problem in error.errors():
        location, place = problem["loc"], where
        for key in location:
            place += f"[{key}]" if isinstance(key, int) else f".{key}" if place else key
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _keys(checked, location[:-1])
            said = f"unknown key: {nearest(location[-1], known)}"
        elif problem["type"] == "missing":
            said = "missing"
        elif problem["type"] == "value_error":
            said = str(problem["ctx"]["error"])
        elif problem["type"] in ("model_type", "dataclass_type", "dict_type"):
            names = "names or " if problem["type"] == "dict_type" else ""
            said = f"{problem['input']!r}: expected {names}keys and values"
        else:
            said = f"{problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
        lines.append(f"{path}: {place}: {said}")
    return "\n".join(lines)


def _keys(kind: Any, location: Sequence[str | int]) -> list[str]:
    """Return the keys known at a place inside a type: a class, or lists and mappings of such."""
    arguments = [each for each in get_args(kind) if each is not Ellipsis]
    if get_origin(kind) in (Union, UnionType):
        return [key for each in arguments for key in _keys(each, location)]
    keys = list(getattr(kind, "model_fields", getattr(kind, "__dataclass_fields__", ())))
    if not location:
        return keys
    if location[0] in keys:
        return _keys(get_type_hints(kind)[location[0]], location[1:])
    return _keys(arguments[-1], location[1:]) if arguments else []
