"""Where a result comes from: the code it depends on, library versions, the machine.

The code digest of a stage covers its script, every `cobaye` module that the script imports directly
or not, and the modules of the kinds that its config names. It hashes the parsed source without
docstrings, comments and the texts of errors, so that only a change of code counts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cobaye import kinds

ROOT = Path(__file__).parent


def code_digest(script: Path | str, named_kinds: Iterable[tuple[str, str]] = ()) -> str:
    """Return the sha256 of the code behind a stage.

    script: its file. named_kinds: the (package, name) of kinds that it imports by name.
    """
    files = [Path(script), *(kinds.path(package, name) for package, name in named_kinds)]
    return _digest(tuple(sorted(set(files))))


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
    """Return a module's source without comments, docstrings, layout and the texts of errors."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
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
    return tuple(path for name in _imported_names(tree) for path in _module_files(name))


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_files(name: str) -> Iterator[Path]:
    """Yield the file of a cobaye module or package; nothing for other names."""
    parts = name.split(".")
    if parts[0] != "cobaye":
        return
    base = ROOT.joinpath(*parts[1:])
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            yield file


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    packages = ["numpy", "pandas", "pyarrow", "safetensors", "torch", "torchvision"]
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return the host, its processor, and the commit checked out (None outside git)."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": processor(),
        "commit": _commit(),
    }


def processor() -> str:
    """Return the processor's name as the kernel gives it, with family and model where known."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def _commit() -> str | None:
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
