"""The message for values of a config file that pydantic refuses: a line per mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from cobaye.errors import ConfigError, nearest

# Lines of a message: a mistake in an entry with a grid stands in each entry that it expands to.
MOST = 8


def of(error: ValidationError, checked: type, path: Path, where: str) -> str:
    """Return a line per mistake, the first ones of many: file, place, value, what is allowed.

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
    if len(lines) > MOST:
        lines[MOST - 1 :] = [f"{path}: {len(lines) - MOST + 1} more mistakes like these"]
    return "\n".join(lines)


def refuse_booleans(given: Any, made: Any, path: Path, where: str) -> None:
    """Raise ConfigError where pydantic made a number, 0 or 1, of true or false.

    given: as the file has it. made: what pydantic made of it.
    """
    for place, value in _taken_for_numbers(given, made, where):
        said = "true" if value else "false"
        raise ConfigError(f"{path}: {place}: {said}: expected a number")


def _taken_for_numbers(given: Any, made: Any, where: str) -> Iterator[tuple[str, bool]]:
    if isinstance(given, bool) and type(made) in (int, float):
        yield where, given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            inner = made.get(key) if isinstance(made, Mapping) else getattr(made, str(key), None)
            yield from _taken_for_numbers(value, inner, f"{where}.{key}" if where else str(key))
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple):
        for number, (value, inner) in enumerate(zip(given, made, strict=False)):
            yield from _taken_for_numbers(value, inner, f"{where}[{number}]")


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
