"""Where the workflow lies, in a clone and where the wheel is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cobaye import kinds

# Of an installed wheel. It holds config/ and profiles/ too, which a clone has one folder higher.
_IN_WHEEL = kinds.ROOT.parent / "cobaye_workflow"
WORKFLOW = _IN_WHEEL if _IN_WHEEL.is_dir() else kinds.ROOT.parent
SNAKEFILE = WORKFLOW / "Snakefile"


def shipped(name: str) -> Path:
    """Return the place of a file that comes with the workflow, such as ``profiles/default/…``."""
    return (_IN_WHEEL if _IN_WHEEL.is_dir() else WORKFLOW.parent) / name


def installed() -> bool:
    """Return whether Python finds this library by itself, rather than by PYTHONPATH."""
    code = f"from {__name__} import SNAKEFILE; print(SNAKEFILE)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    return done.stdout.strip() == str(SNAKEFILE)
