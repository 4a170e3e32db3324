"""What was read of source files, kept from one process to the next.

Parsing every module takes longer than all else that Snakemake does when there is nothing to do. An
entry belongs to the bytes of a file, a version of Python and the code that made it, so that it is
right whenever it is found. Where the file cannot be read or written, or is damaged, everything is
parsed again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGEST = 2000  # entries; beyond it, only those that this process asked for are left
# sha256 of a source's bytes → what `parsed` made of it; keys in the file; keys asked for.
_entries: dict[str, Any] = {}
_kept: set[str] = set()
_asked: set[str] = set()
_place: Path | None = None


def keep_in(place: Path) -> None:
    """Take what another process left in a file, and leave there, at the end, what this one read."""
    global _place
    for each in (_entries, _kept, _asked):
        each.clear()
    _entries.update(_load(place))
    _kept.update(_entries)
    if _place is None:
        atexit.register(leave)
    _place = place


def parsed(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    """Return `parse(data)`, a JSON value, from what was kept where it is there."""
    key = hashlib.sha256(data).hexdigest()
    _asked.add(key)
    if key not in _entries:
        _entries[key] = parse(data)
    return _entries[key]


def leave() -> None:
    """Write what was read since, if there is something and a place for it."""
    if _place is None or _entries.keys() == _kept:
        return
    wanted = _asked if len(_entries) > LARGEST else _entries.keys()
    entries = {key: _entries[key] for key in sorted(wanted)}
    content = json.dumps({"maker": _maker(), "entries": entries}).encode()
    temporary = _place.with_name(f".{_place.name}.{os.getpid()}")
    # A folder that may not be written to is only slower.
    with contextlib.suppress(OSError):
        temporary.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        os.replace(temporary, _place)
        _kept.update(_entries)


def _load(place: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError):
        seal, _, content = place.read_bytes().partition(b"\n")
        if seal == hashlib.sha256(content).hexdigest().encode():
            kept = json.loads(content)
            return kept["entries"] if kept["maker"] == _maker() else {}
    return {}


def _maker() -> str:
    """Return what an entry depends on beside its source: this Python, and the code that parses."""
    code = Path(__file__).with_name("code_digest.py").read_bytes()
    return f"{sys.version} {hashlib.sha256(code).hexdigest()}"
