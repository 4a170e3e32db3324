"""The code that a stage depends on, as one sha256.

It covers the script, what all scripts share, every `cobaye` module that these import directly or
not, and the modules of the kinds that the config names. It hashes the parsed source without
docstrings, comments and the texts of errors, so that only a change of code counts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cobaye import kinds
from cobaye.storage import parsed_sources

ROOT = Path(__file__).parents[1]
# Set by Snakemake's own process, read by its jobs.
TREE = "COBAYE_TREE"
# The module that lies beside the scripts and makes their jobs.
WORKER = "_worker"


def code_digest(script: Path | str, named_kinds: Iterable[tuple[str, str]] = ()) -> str:
    """Return the sha256 of the code behind a stage.

    script: its file. named_kinds: the (package, name) of kinds that it imports by name.
    """
    files = [Path(script), *(kinds.path(package, name) for package, name in named_kinds)]
    return _digest(tuple(sorted(set(files))))


def tree_digest() -> str:
    """Return the sha256 of the bytes of every script and module: quick, and changed by any edit."""
    total = hashlib.sha256()
    for file in sorted([*ROOT.rglob("*.py"), *(ROOT.parent / "scripts").glob("*.py")]):
        total.update(f"{file.relative_to(ROOT.parent)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def announce_tree() -> None:
    """Let the processes that this one starts know the digest of the code that stands now."""
    os.environ[TREE] = tree_digest()


def read_again() -> None:
    """Forget the sources that were read, so that the next digest is of those that stand now."""
    for cached in (_digest, _read, _imports, _module_files):
        cached.cache_clear()


@functools.cache
def _digest(files: tuple[Path, ...]) -> str:
    seen: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        # `errors` only words messages.
        if file not in seen and file != ROOT / "errors.py":
            seen.add(file)
            waiting.extend(_imports(file))
    total = hashlib.sha256()
    for label, file in sorted((_label(file), file) for file in seen):
        total.update(f"{label}\0{normalised_source(file)}\0".encode())
    return total.hexdigest()


def _label(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name


def normalised_source(file: Path) -> str:
    """Return the source of a module's file as `normalised` does."""
    return _read(file)[0]


@functools.cache
def _read(file: Path) -> list[Any]:
    """Return the normalised source of a module, and the names that it imports of this project."""
    return parsed_sources.parsed(file.read_bytes(), _parsed)


def _parsed(data: bytes) -> list[Any]:
    tree = ast.parse(data.decode("utf-8"))
    names = set(imported_names(tree))
    ours = [name for name in names if name == WORKER or name.partition(".")[0] == "cobaye"]
    return [normalised(tree), sorted(ours)]


def normalised(tree: ast.Module) -> str:
    """Return source without comments, docstrings, layout, texts of errors; `tree` is changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args = []
        body = getattr(node, "body", None)
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            # A body may not be empty.
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@functools.cache
def _imports(file: Path) -> tuple[Path, ...]:
    names = _read(file)[1]
    beside = [file.with_name(f"{name}.py") for name in names if name == WORKER]
    return (*beside, *(path for name in names for path in _module_files(ROOT, name)))


def imported_names(tree: ast.Module, package: Sequence[str] = ()) -> Iterator[str]:
    """Yield what a module imports, dotted. `from a import b` gives `a` and `a.b`, maybe a module.

    package: the parts of the package that holds the module, for imports that begin with a dot.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


@functools.cache
def _module_files(root: Path, name: str) -> tuple[Path, ...]:
    """Return the files of a cobaye module or package; none for other names."""
    head, *rest = name.split(".")
    base = root.joinpath(*rest)
    files = (base.with_suffix(".py"), base / "__init__.py") if head == "cobaye" else ()
    return tuple(file for file in files if os.path.isfile(file))
