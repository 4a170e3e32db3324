"""Code of one's own: a function of the workspace, found and hashed without importing it.

A workspace is the folder in which Snakemake runs. What a module imports from there counts, directly
or not, as far as its `import` statements say. Installed packages, and what `importlib` or
`torch.hub` load, do not count.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import re
import symtable
import sys
from pathlib import Path
from typing import NamedTuple

from cobaye.errors import ConfigError, nearest
from cobaye.storage import code_digest

# Packages whose networks are named without a function of one's own, each with what pip calls it.
PACKAGES = {"timm": "timm", "open_clip": "open_clip_torch"}
FORMS = "timm:<name>, open_clip:<name>/<weights> or <module>:<function>"
_FORMS = re.compile(r"timm:\S+|open_clip:[^\s/]+/\S+|(?!timm:|open_clip:)[^\W\d][\w.]*:[^\W\d]\w*")


class Source(NamedTuple):
    """The code behind a function.

    files: path in the workspace → sha256 of its code, as `code_digest.normalised` reads it.
    others: installed packages that these files import, sorted; their code is not hashed.
    """

    files: dict[str, str]
    others: list[str]


def is_form(name: str) -> bool:
    """Tell whether a name has one of the FORMS."""
    return _FORMS.fullmatch(name) is not None


def source(name: str, root: Path = Path()) -> Source:
    """Return the code behind a callable of the config; raises ConfigError where there is none."""
    module, _, function = name.partition(":")
    if module in PACKAGES:
        return Source({}, [module])
    first = file_of(module, root)
    texts, others = _read(module, root)
    _refuse_missing(function, texts[first], first, name)
    files = {
        str(file.relative_to(root)): hashlib.sha256(
            code_digest.normalised(ast.parse(text)).encode()
        )
        for file, text in sorted(texts.items())
    }
    return Source({file: found.hexdigest() for file, found in files.items()}, sorted(others))


def file_of(module: str, root: Path) -> Path:
    """Return the file of a module of the workspace; raises ConfigError if there is none."""
    place = module.replace(".", "/")
    # A package stands before a module of the same name, as for Python.
    for file in (root / place / "__init__.py", root / f"{place}.py"):
        if file.is_file():
            return file
    raise ConfigError(f"callable: {module}: {place}.py is missing in {root.resolve()}")


def _read(module: str, root: Path) -> tuple[dict[Path, str], set[str]]:
    """Return file → text of a module and of all that it imports here; other packages' names."""
    texts: dict[Path, str] = {}
    others: set[str] = set()
    waiting = _files(module, root)
    while waiting:
        file = waiting.pop()
        if file in texts:
            continue
        texts[file], tree = _parsed(file)
        for name in code_digest.imported_names(tree, file.relative_to(root).parent.parts):
            files = _files(name, root)
            waiting += files
            package = name.partition(".")[0]
            # A folder without __init__.py has no file, and is the workspace's as well.
            if not files and not (root / package).is_dir():
                others |= {package} - sys.stdlib_module_names
    return texts, others


def _files(module: str, root: Path) -> list[Path]:
    """Return the files of the workspace that importing a module runs: its packages, itself."""
    found, parts = [], module.split(".")
    for depth in range(1, len(parts) + 1):
        with contextlib.suppress(ConfigError):
            found.append(file_of(".".join(parts[:depth]), root))
    return found


def _parsed(file: Path) -> tuple[str, ast.Module]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(f"callable: {file}: line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"callable: {file}: cannot be read: {error}") from None


def _refuse_missing(function: str, text: str, file: Path, name: str) -> None:
    """Refuse a function that the module does not bind; one that imports `*` may bind any."""
    symbols = symtable.symtable(text, str(file), "exec").get_symbols()
    known = [each.get_name() for each in symbols if each.is_local()]
    if function not in known and not re.search(r"\bimport\s*\*", text):
        raise ConfigError(
            f"callable: {name}: {file} has no {function!r}: {nearest(function, known)}"
        )
