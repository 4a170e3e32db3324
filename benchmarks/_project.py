"""A project of its own for a benchmark that runs the workflow: this tree's code, another config."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path, config: Mapping[str, str]) -> None:
    """Copy the code to `folder` and write its config: file name → text."""
    ours = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=ours)
    shutil.copy(ROOT / "Snakefile", folder)
    for name, text in config.items():
        file = folder / "config" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
