"""The table of all studies: what each is, its time and what it needs, by the heads of its files."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from docs.generate import gallery

PAGE = """# Studies

A study is a file of `config/studies/`, and its name is a target: `snakemake --cores all digits`.
Each file says what it does, key by key. Below are the first words of each, the time it takes, and
what it needs beyond the packages. "–" in the last column: no download. {default} run by default.

| study | what it is | takes | needs |
|---|---|---|---|
"""


def page(config: Path) -> str:
    """Return the page. config: the folder with config.yaml and studies/."""
    default = yaml.safe_load((config / "config.yaml").read_text(encoding="utf-8"))["studies"]
    names = sorted(file.stem for file in (config / "studies").glob("*.yaml"))
    rows = []
    for name in names:
        head = gallery.head(name)
        what, takes, needs = _first(head), said(head, "Takes"), said(head, "Needs")
        link = f"[{name}](../config/studies/{name}.yaml)"
        rows.append(f"| {link} | {what} | {takes or 'not known'} | {needs or '–'} |")
    quoted = " and ".join(f"`{name}`" for name in default)
    return PAGE.format(default=quoted) + "\n".join(rows) + "\n"


def said(head: str, word: str) -> str:
    """Return the first sentence after a word of a head: `Takes` or `Needs`; "" without it."""
    found = re.search(rf"^{word}: (.*?)\.(?=\s|$)", head, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()).replace("|", "\\|") if found else ""


def _first(head: str) -> str:
    return re.split(r"\.(?=\s|$)", " ".join(head.split("\n\n")[0].split()))[0]
