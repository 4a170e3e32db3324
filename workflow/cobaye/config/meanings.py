"""What keys mean: the comments that begin with ``#:`` in the classes that hold the keys."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from cobaye import kinds


def meanings(cls: type) -> dict[str, str]:
    """Return key → meaning, of a class and of those that it inherits keys from.

    The comment stands above the key, or behind it on its line.
    """
    found: dict[str, str] = {}
    for each in cls.__mro__:
        if each.__module__.split(".")[0] == "cobaye":
            found = _commented(_file(each.__module__), each.__name__) | found
    return found


def of_kind(family: str, kind: str) -> str:
    """Return a kind in a sentence: the first line of its file.

    What it says of the reports that the kind is taken from (``S2.7``) is left out.
    """
    text = kinds.path(family, kind).read_text(encoding="utf-8")
    line = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return re.sub(r"\s*\((S\d[^()]*|[^()]*; figures? [^()]*)\)", "", line)


def _file(module: str) -> Path:
    """Return the file of a module; that of a kind has its name with hyphens."""
    base = kinds.ROOT.joinpath(*module.replace("-", "_").split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@functools.cache
def _commented(file: Path, name: str) -> dict[str, str]:
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    found[field.target.id] = _comment(lines, field.lineno - 1, field.end_lineno - 1)
    return {key: meaning for key, meaning in found.items() if meaning}


def _comment(lines: list[str], first: int, last: int) -> str:
    behind = lines[last].partition("#: ")[2]
    above: list[str] = []
    while lines[first - 1].lstrip().startswith("#: "):
        first -= 1
        above.insert(0, lines[first].strip().removeprefix("#: "))
    return " ".join([*above, behind]).strip()
