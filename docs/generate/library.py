"""The page of the Python interface: the public names, and the rooms of the library behind them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import cobaye

# Names of what `fit` finds, by scikit-learn's convention; not those that are quoted already.
FITTED = re.compile(r"(?<![`\w\\])([a-z]\w*_)(?![\w`])")
ENTRY = re.compile(r"^(\w[\w, ]*) : ")
LIBRARY = Path(cobaye.__file__).parent
HEAD = """# Python

What `import cobaye` gives, name by name. [How the names are used](../notebook.md).

"""
ROOMS = """## The library behind it

Everything that computes is in `workflow/cobaye/`, in packages. [Which may import
which](../../CONTRIBUTING.md#where-things-are).

"""


def as_lists(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring's sections of ``name : what it is`` into lists, and quote ``fitted_``."""
    told: list[str] = []
    section = False
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line and set(line) == {"-"}:
            section = True
        elif following and set(following) == {"-"}:
            told += [f"**{line}**", ""]
        elif section and (entry := ENTRY.match(line)):
            names = ", ".join(f"``{each}``" for each in entry[1].split(", "))
            told += ["", f"- {names}: {line[entry.end() :]}"]
        else:
            told.append(f"  {line.strip()}" if section and line else line)
    lines[:] = [FITTED.sub(r"``\1``", line) for line in told]


def own_signature(app: Any, what: str, name: str, obj: Any, *rest: Any) -> tuple[str, None] | None:
    """Return the signature of a class from its own ``__init__``; its bases may be mocks."""
    if what != "class":
        return None
    _, *own = inspect.signature(obj.__init__).parameters.values()
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in own]
    return str(inspect.Signature(plain)), None


def write(folder: Path) -> None:
    """Write api.md to a folder."""
    folder.mkdir(exist_ok=True)
    public = "\n".join(_documented(name) for name in cobaye.__all__)
    rooms = "\n".join(f"- **`{room.name}`**: {_text(room)}" for room in _rooms())
    (folder / "api.md").write_text(f"{HEAD}{public}\n{ROOMS}{rooms}\n", encoding="utf-8")


def _documented(name: str) -> str:
    kind = "class" if name[0].isupper() else "function"
    members = "   :members:\n   :inherited-members: BaseEstimator\n" if kind == "class" else ""
    return f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: cobaye.{name}\n{members}```\n"


def _rooms() -> list[Path]:
    return [file.parent for file in sorted(LIBRARY.glob("*/__init__.py"))]


def _text(room: Path) -> str:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    first, *rest = text.split("\n\n")
    told = [first, *(each for each in rest if each.startswith("In:"))]
    return " ".join(" ".join(told).split())
