"""A journal: a line per epoch of a group of runs, each sealed with the one before it.

It needs no fsync. A line that a kill or a power failure left torn, or whose files are not those it
names, is dropped with all lines after it; training goes on from the epoch before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cobaye.errors import writable
from cobaye.storage import files, resume

NAME = "journal.jsonl"
Record = dict[str, Any]


class Journal:
    """The journal of a resume folder.

    start: the digest of what is trained; the resume state of anything else is removed.
    """

    def __init__(self, folder: Path, start: str):
        self.folder, self.path = folder, folder / NAME
        self.start = self.seal = start

    def restore(self, is_right: Callable[[Record], bool]) -> list[Record]:
        """Return the records that can be used, and drop those after them.

        is_right: whether the files that a record names are there, unchanged.
        """
        records, end, self.seal = [], 0, self.start
        for record, seal, after in self._lines():
            if not is_right(record):
                break
            records.append(record)
            self.seal, end = seal, after
        if records:
            os.truncate(self.path, end)
        else:
            _clear(self.folder)
        return records

    def append(self, record: Record) -> None:
        """Add a line."""
        self.seal = _seal(self.seal, record)
        line = files.canonical({**record, "seal": self.seal}) + "\n"
        with writable(self.path), open(self.path, "ab") as file:
            file.write(line.encode())

    def _lines(self) -> Iterator[tuple[Record, str, int]]:
        """Yield the record, seal and end of each line, up to the first that is not whole."""
        seal, end = self.start, 0
        for line in self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []:
            end += len(line)
            try:
                record = json.loads(line)
                expected = record.pop("seal")
            except (ValueError, KeyError, AttributeError):
                return
            seal = _seal(seal, record)
            if expected != seal or not line.endswith(b"\n"):
                return
            yield record, seal, end


def write(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file for a line to name, without fsync; return its entry."""
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new file, never the old one's bytes: that may have a second name among the results.
        path.unlink(missing_ok=True)
        path.write_bytes(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def is_whole(path: Path, entry: dict[str, Any]) -> bool:
    """Tell whether a file is the one that a line names."""
    return path.is_file() and files.sha256(path) == entry["sha256"]


def sync(paths: list[Path]) -> None:
    """Fsync files, once all are written: the first fsync takes most along."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _seal(before: str, record: Record) -> str:
    return files.digest([before, record])


def _clear(folder: Path) -> None:
    for leftover in folder.iterdir():
        if leftover.name != resume.LOCK:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
