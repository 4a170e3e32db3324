"""Whether what stands was made from what the config gives now, read off its manifest."""

from __future__ import annotations

import functools
from pathlib import Path

from cobaye import files
from cobaye.errors import CobayeError


def is_stale(manifest: str, fingerprint: str) -> bool:
    """Tell whether a manifest stands that was made from another recipe, other code or other inputs.

    fingerprint: of the recipe and code that the config gives now.

    Snakemake's own records do not travel with results/, so this is how an edited recipe is noticed
    in a copy. An unreadable manifest counts as stale: making it again mends it.
    """
    if not Path(manifest).exists():
        return False
    try:
        found = files.read_json(manifest)
        made_from = files.stage_fingerprint(found["recipe"], found["code"])
        inputs = found["inputs"].items()
    except (CobayeError, KeyError, TypeError, AttributeError, OSError):
        return True
    return made_from != fingerprint or any(
        Path(path).exists() and _sha256(path, Path(path).stat().st_mtime_ns) != sha256
        for path, sha256 in inputs
    )


@functools.cache
def _sha256(path: str, changed: int) -> str:
    return files.sha256(path)
