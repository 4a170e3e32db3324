"""A journal of what is in training: a line per epoch, each sealed with the one before it.

The first line says what is trained. Nothing is written with fsync, which would cost more than a
small training. A killed process loses nothing: what it wrote is the system's. A power failure may
lose the last seconds. A line that is not whole, or whose files are not those that it names, is
dropped with all lines after it; training goes on from the epoch before.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cobaye.errors import CorruptFile, writable
from cobaye.storage import files, resume

NAME = "journal.jsonl"
UNSTATED = "not stated"
Record = dict[str, Any]
# The file that is not as a record says, if there is one; the second argument: whether training
# would go on from that record.
Check = Callable[[Record, bool], Path | None]


class Journal:
    """The journal of a resume folder.

    told: what is trained, JSON-ready. The resume state of anything else is removed.
    """

    def __init__(self, folder: Path, told: Mapping[str, Any]):
        self.folder, self.path, self.told = folder, folder / NAME, told
        self.start = self.seal = files.digest(told)

    def restore(self, wrong: Check) -> list[Record]:
        """Return the records that can be used; drop those after them, and say why."""
        found, problem = [], None
        try:
            for record, seal, end in self._lines():
                _refuse(wrong(record, False))
                found.append((record, seal, end))
        except CorruptFile as error:
            problem = error
        while found and (file := wrong(found[-1][0], True)):
            problem = problem or _not_named(file)
            found.pop()
        if problem:
            after = f" after epoch {found[-1][0]['epoch']}" if found else ""
            print(f"resume state not used{after}: {problem}", file=sys.stderr, flush=True)
        if found:
            _, self.seal, end = found[-1]
            with writable(self.path):
                os.truncate(self.path, end)
        else:
            self._clear()
        return [record for record, _, _ in found]

    def append(self, record: Record) -> None:
        """Add a line."""
        first = "" if self.path.exists() else _line({"told": self.told}, self.seal)
        self.seal = _seal(self.seal, record)
        with writable(self.path), open(self.path, "ab") as file:
            file.write((first + _line(record, self.seal)).encode())

    def _lines(self) -> Iterator[tuple[Record, str, int]]:
        """Yield the record, seal and end of each line; CorruptFile at one that is not whole."""
        if not self.path.is_file():
            return
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise CorruptFile(f"{self.path}: cannot be read: {error.strerror}") from None
        seal, end = "", 0
        for number, line in enumerate(data.splitlines(keepends=True) or [b""], 1):
            end += len(line)
            try:
                record = json.loads(line)
                found = record.pop("seal")
                expected = _seal(seal, record) if seal else files.digest(record["told"])
            except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
                found, expected = None, ""
            if found != expected or not line.endswith(b"\n"):
                raise CorruptFile(f"{self.path}: line {number} is not as it was written")
            if seal:
                yield record, expected, end
            elif expected != self.start:
                changed = differences(record["told"], self.told)
                raise CorruptFile("it is of another run: " + "; ".join(changed))
            seal = expected

    def _clear(self) -> None:
        for leftover in self.folder.iterdir():
            if leftover.name != resume.LOCK:
                files.remove(leftover)


def write(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file for a line to name, without fsync; return its entry."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new file, never the old one's bytes: that may have a second name among the results.
        files.remove(path)
        with open(path, "wb") as file:
            file.write(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def is_whole(path: Path, entry: Mapping[str, Any]) -> bool:
    """Tell whether a file is the one that a line names, and no link to it."""
    try:
        return not path.is_symlink() and files.sha256(path) == entry["sha256"]
    except OSError:  # missing, not a file, or on a bad sector
        return False


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return, field by field, how two JSON values differ: ``recipe.seed: 0 → 1``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(
                old.get(key, UNSTATED), new.get(key, UNSTATED), f"{where}.{key}".lstrip(".")
            )
        ]
    return [] if old == new else [f"{where}: {old} → {new}"]


def _refuse(file: Path | None) -> None:
    if file:
        raise _not_named(file)


def _not_named(file: Path) -> CorruptFile:
    return CorruptFile(f"{file}: not the file that {NAME} names")


def _line(record: Mapping[str, Any], seal: str) -> str:
    return files.canonical({**record, "seal": seal}) + "\n"


def _seal(before: str, record: Record) -> str:
    return files.digest([before, record])
