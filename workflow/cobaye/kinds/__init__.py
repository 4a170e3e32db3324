"""Kinds: datasets, networks, optimizers, figures and the like, one file each, found by name.

A kind named ``resnet-small`` of the family ``networks`` is the file ``networks/resnet_small.py``.
Checking a config must not import torch, so what the check reads of a kind is taken from its source:
constants that are literals, and the frozen dataclass ``Options``. The class may use builtins,
literal constants of its file, and imports from modules that do not need torch, through which kinds
may share options. A kind whose defaults no test can use states ``EXAMPLE``, tiny options.

A kind that works over other axes than λ states ``OVER``: axis → the constants that differ. It then
has a variant per axis, ``classes-over-epoch``, whose tables and figures are named in this way too.
"""

from __future__ import annotations

import ast
import builtins
import copy
import dataclasses
import functools
import importlib
import os
import symtable
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from cobaye.errors import ConfigError, nearest
from cobaye.kinds import axis_names
from cobaye.kinds.axis_names import axis, over, without_axis
from cobaye.kinds.source_names import free, imported

ROOT = Path(__file__).parents[1]
# Each family of kinds and the folder of its files.
FAMILIES = {
    "analyses": "analyses",
    "augmentations": "training/augmentations",
    "datasets": "data/datasets",
    "engines": "training/engines",
    "figures": "figures",
    "networks": "models/networks",
    "optimizers": "training/optimizers",
    "origins": "training/origins",
    "schedules": "training/schedules",
    "ways": "class_decay/ways",
}
# The constants that each kind of a family must state, with their types.
REQUIRED: dict[str, dict[str, type]] = {
    "analyses": {"TABLES": dict},
    "figures": {"NAMES": dict, "TABLES": tuple},
    "ways": {"TABLES": tuple, "SPLITS": tuple},
}
# Those that it must state beside another: an analysis with STATES measures single runs.
REQUIRED_BESIDE: dict[tuple[str, str], dict[str, type]] = {
    ("analyses", "STATES"): {"COLUMNS": dict},
}
# Packages that must not be imported to check a config: they take seconds.
HEAVY = {"torch", "torchvision", "matplotlib", "scipy", "sklearn"}


def names(family: str) -> list[str]:
    """Return the names of all kinds of a family, sorted."""
    return list(_files(ROOT, family))


@functools.cache
def _files(root: Path, family: str) -> dict[str, Path]:
    """Return the file of each kind of a family, by its name."""
    folder = root / FAMILIES[family]
    kinds = [file for file in os.listdir(folder) if file.endswith(".py") and file[0].islower()]
    return dict(sorted((kind[:-3].replace("_", "-"), folder / kind) for kind in kinds))


def path(family: str, name: str) -> Path:
    """Return the file of a kind; an unknown name raises ConfigError with the nearest one."""
    files = _files(ROOT, family)
    kind = name if name in files else without_axis(name)
    if kind not in files:
        raise ConfigError(f"no {singular(family)} named {name!r}: {nearest(name, files)}")
    return files[kind]


def with_variants(family: str) -> list[str]:
    """Return the names of all kinds of a family, each followed by its variants over other axes."""
    return [
        variant
        for name in names(family)
        for variant in (name, *(over(name, each) for each in constant(family, name, "OVER", {})))
    ]


def singular(family: str) -> str:
    """Return the word for one kind of a family, for messages."""
    return "analysis" if family == "analyses" else family.removesuffix("s")


def load(family: str, name: str) -> ModuleType:
    """Import a kind."""
    file = path(family, name).relative_to(ROOT).with_suffix("")
    return importlib.import_module(f"cobaye.{file}".replace("/", "."))


def constant(family: str, name: str, variable: str, default: Any = None) -> Any:
    """Return a literal module-level constant of a kind, or the default where it has none.

    Raises ConfigError, naming the file, for a constant that is computed, and for one that
    `REQUIRED` or `REQUIRED_BESIDE` lists and that is missing or of another type.
    """
    file, of_axis = path(family, name), None
    if name not in _files(ROOT, family):
        of_axis = axis(name)
        others = _constant(file, family, "OVER")[of_axis]
        if variable in others:
            return copy.deepcopy(others[variable])
    value = _constant(file, family, variable)
    if of_axis and variable in axis_names.NAMED:
        return axis_names.all_over(value, of_axis)
    return default if value is dataclasses.MISSING else copy.deepcopy(value)


@functools.cache
def _constant(file: Path, family: str, variable: str) -> Any:
    expression, value = _assigned(file).get(variable), dataclasses.MISSING
    try:
        value = value if expression is None else ast.literal_eval(expression)
    except (ValueError, TypeError):
        raise ConfigError(
            f"{file}: line {expression.lineno}: {variable}: {ast.unparse(expression)} must be a "
            "literal: it is read without importing the file, so nothing is computed"
        ) from None
    expected = _required(family, file).get(variable)
    if expected and not isinstance(value, expected):
        problem = "missing" if value is dataclasses.MISSING else f"{value!r} is of another type"
        raise ConfigError(
            f"{file}: {variable}: {problem}: {singular(family)} kinds state it, "
            f"a {expected.__name__}"
        )
    return value


def options(family: str, name: str) -> type:
    """Return the dataclass ``Options`` of a kind, empty if it has none, without importing the kind.

    Raises ConfigError, naming the file, for a class that uses what only an import could give.
    """
    known = name in _files(ROOT, family)
    return _options(path(family, name), family, name if known else without_axis(name))


@functools.cache
def _options(file: Path, family: str, name: str) -> type:
    for node in _tree(file).body:
        if isinstance(node, ast.ClassDef) and node.name == "Options":
            module = f"cobaye.{FAMILIES[family]}.{name}".replace("/", ".")
            scope = {"__name__": module, **_scope(node, family, name)}
            # Annotations as types, not as text that would be looked up in a module.
            exec(compile(ast.Module([node], []), str(file), "exec", dont_inherit=True), scope)
            return scope["Options"]
    return dataclasses.make_dataclass("Options", [], frozen=True)


def _required(family: str, file: Path) -> dict[str, type]:
    required = dict(REQUIRED.get(family, {}))
    for (of_family, beside), constants in REQUIRED_BESIDE.items():
        if of_family == family and beside in _assigned(file):
            required |= constants
    return required


@functools.cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{file}: line {error.lineno}: not Python: {error.msg}") from None


@functools.cache
def _assigned(file: Path) -> dict[str, ast.expr]:
    """Return the module-level constants of a file, each with its expression."""
    constants = {}
    for node in _tree(file).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            constants |= {each.id: node.value for each in targets if isinstance(each, ast.Name)}
    return constants


def _scope(node: ast.ClassDef, family: str, name: str) -> dict[str, Any]:
    """Return the names that ``Options`` uses and does not bind, each with its value."""
    file = path(family, name)
    scope: dict[str, Any] = {}
    imports = {
        alias.asname or alias.name.partition(".")[0]: (statement, alias)
        for statement in _tree(file).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    }
    used = symtable.symtable(ast.unparse(node), str(file), "exec")
    for variable in sorted(set(free(used)) - set(dir(builtins)) - {"Options"}):
        if variable in imports:
            scope[variable] = _imported(*imports[variable], variable, file)
        elif variable in _assigned(file):
            scope[variable] = constant(family, name, variable)
        else:
            raise ConfigError(
                f"{file}: Options uses {variable!r}: it may use builtins, literal constants of "
                "its file, and what the file imports"
            )
    return scope


def _imported(
    statement: ast.Import | ast.ImportFrom, alias: ast.alias, variable: str, file: Path
) -> Any:
    """Return what one import of a kind binds; raises ConfigError if it would import torch."""
    single = copy.copy(statement)
    single.names = [alias]
    chain = _heavy(imported([single]), set())
    if chain:
        raise ConfigError(
            f"{file}: Options uses {variable!r}, whose import needs {' → '.join(chain)}: options "
            f"are checked without {chain[-1]}"
        )
    scope: dict[str, Any] = {}
    exec(compile(ast.Module([single], []), str(file), "exec", dont_inherit=True), scope)
    return scope[variable]


def _heavy(modules: Iterable[str], seen: set[str]) -> list[str]:
    """Return a chain of imports from one of these modules to a heavy package, if there is one.

    seen: modules of the library without such a chain, added to.
    """
    for module in modules:
        head, *rest = module.split(".")
        if head in HEAVY:
            return [head]
        # Importing a module imports the packages that hold it.
        for depth in range(len(rest) + 1 if head == "cobaye" else 0):
            place = ".".join([head, *rest[:depth]])
            base = ROOT.joinpath(*rest[:depth])
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                if place not in seen and file.is_file():
                    seen.add(place)
                    chain = _heavy(imported(_tree(file).body), seen)
                    if chain:
                        return [place, *chain]
    return []
