"""The gallery: a page for each study in results/, with its figures and the command of each."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CAPTIONS = ROOT / "workflow/report"
STUDIES = ROOT / "config/studies"
HEAD = (
    "# Gallery\n\nEvery figure of the studies that have run here, when these pages were made.\n\n"
)
EMPTY = """No study has run here yet. This makes those of the default ones, and then this page:

    snakemake --cores all
    make docs
"""


def write(folder: Path, results: Path) -> list[str]:
    """Write gallery.md and a page per study to a folder; return the names of the studies.

    results: the folder that the workflow writes. Pages of studies that are gone are removed.
    """
    folder.mkdir(exist_ok=True)
    for old in folder.glob("gallery-*.md"):
        old.unlink()
    figures = {each: _figures(each) for each in sorted(results.glob("*")) if _figures(each)}
    for study, drawn in figures.items():
        (folder / f"gallery-{study.name}.md").write_text(_page(study, drawn, folder), "utf-8")
    names = [study.name for study in figures]
    pages = "\n".join(f"gallery-{name}" for name in names)
    listed = f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n" if names else EMPTY
    (folder / "gallery.md").write_text(HEAD + listed, encoding="utf-8")
    return names


def _figures(study: Path) -> list[Path]:
    return sorted((study / "figures").glob("*.svg"))


def _page(study: Path, figures: list[Path], folder: Path) -> str:
    return f"# {study.name}\n\n{_about(study.name)}\n\n" + "\n".join(
        _figure(study.name, each, folder) for each in figures
    )


def _about(study: str) -> str:
    """Return what a study's file says of it, and where that is."""
    text = head(study)
    return text and f"{text}\n\nAll of it: [{study}.yaml](../../config/studies/{study}.yaml)"


def head(study: str) -> str:
    """Return the head of a study's file: what it is, what to expect, how long it takes."""
    file = STUDIES / f"{study}.yaml"
    if not file.is_file():
        return ""
    lines = file.read_text(encoding="utf-8").splitlines()
    comments = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line[2:] for line in comments if "$schema=" not in line).strip()


def _figure(study: str, file: Path, folder: Path) -> str:
    name = file.stem
    place = os.path.relpath(file.with_suffix(".svg"), folder)
    caption = CAPTIONS / f"{name}.rst"
    text = caption.read_text(encoding="utf-8") if caption.is_file() else ""
    said = re.sub(r"\{\{ snakemake\.wildcards\.study \}\}", study, text)
    # Its first words name the study, as each caption of the report does.
    said = said.removeprefix(f"Study ``{study}``. ")
    command = f"    snakemake --cores all results/{study}/figures/{name}.svg\n"
    return f"## {name}\n\n![{name}]({place})\n\n```{{eval-rst}}\n{said}```\n\n{command}"
