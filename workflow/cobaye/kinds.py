"""Kinds: datasets, networks, optimizers, engines and figures, one file each, found by name.

A kind named ``resnet-small`` in the package ``networks`` is the file ``networks/resnet_small.py``.
Its options are a frozen dataclass ``Options`` in that file. Checking a config must not import
torch, so the class and the plain constants of a kind are read from its source without importing it:
``Options`` may use the builtins, ``dataclass``, ``field`` and ``Literal``, and nothing else.
A kind whose default options are too large for a test, or incomplete, states ``EXAMPLE``: the
options of a tiny example, on which the tests of its family run.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from cobaye.errors import ConfigError, nearest

ROOT = Path(__file__).parent
# Each family of kinds and the folder of its files.
FAMILIES = {
    "analyses": "analyses",
    "augmentations": "training/augmentations",
    "datasets": "data/datasets",
    "engines": "training/engines",
    "figures": "figures",
    "networks": "models/networks",
    "optimizers": "training/optimizers",
    "schedules": "training/schedules",
    "ways": "derived/ways",
}


def names(package: str) -> list[str]:
    """Return the names of all kinds of a package, sorted."""
    files = (ROOT / FAMILIES[package]).glob("[a-z]*.py")
    return sorted(file.stem.replace("_", "-") for file in files)


def path(package: str, name: str) -> Path:
    """Return the file of a kind; an unknown name raises ConfigError with the nearest one."""
    known = names(package)
    if name not in known:
        raise ConfigError(f"no {package.rstrip('s')} named {name!r}: {nearest(name, known)}")
    return ROOT / FAMILIES[package] / f"{name.replace('-', '_')}.py"


def load(package: str, name: str) -> ModuleType:
    """Import a kind."""
    return importlib.import_module(f"{_dotted(package)}.{path(package, name).stem}")


def options(package: str, name: str) -> type:
    """Return the dataclass ``Options`` of a kind, empty if it has none; no import."""
    for node in _tree(path(package, name)).body:
        if isinstance(node, ast.ClassDef) and node.name == "Options":
            scope = {
                "__name__": f"{_dotted(package)}.{name}",
                "dataclass": dataclasses.dataclass,
                "field": dataclasses.field,
                "Literal": Literal,
            }
            module = ast.Module([node], [])
            # Annotations as types, not as text that would be looked up in a module.
            code = compile(module, str(path(package, name)), "exec", dont_inherit=True)
            try:
                exec(code, scope)
            except NameError as error:
                raise ConfigError(
                    f"{path(package, name)}: Options may use builtins, field and Literal: {error}"
                ) from None
            return scope["Options"]
    return dataclasses.make_dataclass("Options", [], frozen=True)


def constant(package: str, name: str, variable: str, default: Any = None) -> Any:
    """Return a plain module-level constant of a kind without importing it."""
    for node in _tree(path(package, name)).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == variable:
            return ast.literal_eval(node.value)
    return default


def _dotted(family: str) -> str:
    return f"cobaye.{FAMILIES[family]}".replace("/", ".")


@functools.cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{file}: line {error.lineno}: not Python: {error.msg}") from None
