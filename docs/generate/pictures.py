"""The pictures of README.md: drawn, or taken from finished studies, with a note of what drew them.

make pictures
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

import yaml  # noqa: E402
from docs.generate import pipeline  # noqa: E402

from cobaye import figures as kinds_of_figures  # noqa: E402
from cobaye import kinds  # noqa: E402
from cobaye.storage import code_digest  # noqa: E402

# Picture in docs/ → study and figure.
PICTURES = {"answer.png": ("glyphs-per-class-again", "answer")}
PIPELINE = "pipeline.png"
NOTE = ROOT / "docs/pictures.json"
COMMAND = "make pictures"


def drawn_by(study: str, figure: str) -> str:
    """Return a digest of what draws a figure: the study's file, the kind, what it shares."""
    content = yaml.safe_load((ROOT / f"config/studies/{study}.yaml").read_text(encoding="utf-8"))
    content.pop("expected", None)  # no figure shows it
    parts = [json.dumps(content, sort_keys=True)]
    waiting, seen = [kinds.path("figures", kinds_of_figures.names()[figure])], set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _shared(file)
    parts += [code_digest.normalised_source(file) for file in sorted(seen)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _shared(file: Path) -> list[Path]:
    """Return the modules of the package `figures` that one of its files imports."""
    names = code_digest.imported_names(ast.parse(file.read_text(encoding="utf-8")))
    shared = {name.rpartition(".")[2] for name in names if name.startswith("cobaye.figures._")}
    return [path for name in shared if (path := file.with_name(f"{name}.py")).is_file()]


def stale() -> list[str]:
    """Return the pictures that other code, or another study, would draw now."""
    noted = json.loads(NOTE.read_text(encoding="utf-8")) if NOTE.is_file() else {}
    return [
        name
        for name, digest in digests().items()
        if noted.get(name) != digest or not (NOTE.parent / name).is_file()
    ]


def digests() -> dict[str, str]:
    """Return picture → digest of what draws it."""
    drawn = {name: drawn_by(*source) for name, source in PICTURES.items()}
    source = code_digest.normalised_source(Path(pipeline.__file__))
    return {**drawn, PIPELINE: hashlib.sha256(source.encode()).hexdigest()}


def main() -> None:
    """Copy each picture out of results/, draw the others, and note what drew them."""
    for name, (study, figure) in PICTURES.items():
        shutil.copyfile(ROOT / f"results/{study}/figures/{figure}.png", NOTE.parent / name)
    (NOTE.parent / PIPELINE).write_bytes(pipeline.png())
    NOTE.write_text(json.dumps(digests(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
