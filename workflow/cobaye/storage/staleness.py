"""Staleness: whether existing outputs were made from another recipe, other code or inputs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye.errors import CobayeError
from cobaye.storage import files, manifests, sources

# Sources of a dataset may be gigabytes, or a million names: their sha256 is kept beside the
# manifest, and computed again only when their times change.
SEEN = ".sources.json"
LARGE = 1_000_000


def is_stale(manifest: str, fingerprint: str, whole: bool = False) -> bool:
    """Tell whether a manifest exists that was made from another recipe, other code or inputs.

    fingerprint: of the recipe and code that the config gives now. whole: whether the files that it
    covers count too: of figures and the like, which are small, and which no job reads.

    Snakemake's own records do not travel with results/, so this is how an edited recipe is noticed
    in a copy. An unreadable manifest, or record of images, counts as stale: making it again mends
    it. Inputs that no longer exist are not compared.
    """
    if not Path(manifest).exists():
        return False
    try:
        content = manifests.read_sealed(manifest)
        made_from = manifests.stage_fingerprint(content["recipe"], content["code"])
        inputs = content["inputs"].items()
        if content["format"] != manifests.FORMAT:
            return True
        if made_from != fingerprint or sources.changed(Path(manifest), content["info"]):
            return True
        if whole and _damaged(Path(manifest).parent, content["files"]):
            return True
    except (CobayeError, KeyError, TypeError, AttributeError, OSError):
        return True
    return any(_differs(path, sha256, Path(manifest).parent) for path, sha256 in inputs)


def _damaged(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(files.sha256(folder / name) != entry["sha256"] for name, entry in entries.items())


def _differs(path: str, sha256: str, folder: Path) -> bool:
    # What is gone, or may not be read, cannot be compared.
    with contextlib.suppress(OSError):
        return _sha256(path, os.stat(path).st_mtime_ns, folder) != sha256
    return False


@functools.cache
def _sha256(path: str, changed: int, folder: Path) -> str:
    if not os.path.isdir(path) and os.path.getsize(path) < LARGE:
        return files.sha256(path)
    seen = _seen(folder)
    known = seen.get(path, {})
    times = known.get("times", {})
    if times and times == {place: _time(place) for place in times}:
        return known["sha256"]
    if os.path.isdir(path):
        times = {place: _time(place) for place, _ in sources.walk(path)}
        sha256 = listing_sha256(path)
    else:
        times = {path: _time(path)}
        sha256 = files.sha256(path)
    # A folder that may not be written to, or a name that is not UTF-8, is only slower.
    with contextlib.suppress(OSError, CobayeError, UnicodeError):
        files.write_json(folder / SEEN, {**seen, path: {"times": times, "sha256": sha256}})
    return sha256


def listing_sha256(folder: Path | str) -> str:
    """Return the sha256 of the relative names of all files below a folder, in hex."""
    names = (
        os.path.relpath(entry.path, folder)
        for _, children in sources.walk(folder)
        for entry in children
    )
    return hashlib.sha256("\n".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()


def _seen(folder: Path) -> dict[str, Any]:
    try:
        content = files.read_json(folder / SEEN)
    except CobayeError:
        return {}
    return content if isinstance(content, dict) else {}


def _time(path: str) -> list[int] | None:
    """Return a file's size and time of change, in ns; None if it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
