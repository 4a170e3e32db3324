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

from cobaye import kinds

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
    for cached in (_digest, normalised_source, _imports):
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
    for file in sorted(seen, key=_label):
        total.update(f"{_label(file)}\0{normalised_source(file)}\0".encode())
    return total.hexdigest()


def _label(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name


@functools.cache
def normalised_source(file: Path) -> str:
    """Return the source of a module's file as `normalised` does."""
    return normalised(file.read_text(encoding="utf-8"))


def normalised(text: str) -> str:
    """Return source without comments, docstrings, layout and the texts of errors."""
    tree = ast.parse(text)
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
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = list(imported_names(tree))
    beside = [file.with_name(f"{name}.py") for name in names if name == WORKER]
    return (*beside, *(path for name in names for path in _module_files(name)))


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


def _module_files(name: str) -> Iterator[Path]:
    """Yield the file of a cobaye module or package; nothing for other names."""
    parts = name.split(".")
    if parts[0] != "cobaye":
        return
    base = ROOT.joinpath(*parts[1:])
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            yield file
