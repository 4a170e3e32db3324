"""Source files: the images that a stage read, and whether they are still what it read.

A stage that reads image files writes two files beside its manifest ``<stem>.json``.
``<stem>.sources.json`` holds the sha256 of each image; its own sha256 stands in the manifest, as
``sources``. ``.<stem>.times.npy`` holds size and time of change of each image. Nothing depends on
it: it saves reading an image again whose size and time are as they were.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cobaye.errors import CobayeError, CorruptFile
from cobaye.storage import arrays, files, manifests


class Seen(NamedTuple):
    """What was found of a file: its sha256 in hex, size in bytes, time of change in ns."""

    sha256: str
    size: int
    changed: int


ABSENT = Seen("", 0, 0)
CHUNK, ASKED = 1000, 16  # files whose times one thread asks for, and threads


def read(path: str | Path) -> tuple[bytes, Seen]:
    """Return the content of a file and what was seen of it; OSError for anything but a file."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path}: not a file")
    content = Path(path).read_bytes()
    seen = Seen(hashlib.sha256(content).hexdigest(), status.st_size, status.st_mtime_ns)
    return content, seen


def walk(folder: str | Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each folder from `folder` down and its entries that are no folders, sorted by name.

    Links to folders are followed. Links that lead to a folder that holds them are not.
    """
    waiting = [(str(folder), (os.path.realpath(folder),))]
    while waiting:
        place, above = waiting.pop()
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        yield place, [entry for entry in entries if not entry.is_dir()]
        for entry in reversed(entries):
            if entry.is_dir() and (real := os.path.realpath(entry.path)) not in above:
                waiting.append((entry.path, (*above, real)))


def write(manifest: Path, root: str, seen: Mapping[str, Seen]) -> dict[str, str]:
    """Write what a stage saw of images; return what its manifest says of that.

    seen: path relative to `root` → what was found of the file.
    """
    names = sorted(seen)
    contents = {"root": root, "sha256": {name: seen[name].sha256 for name in names}}
    arrays.save_array(_times(manifest), _column(seen[name][1:] for name in names))
    return {"sources": files.write_json(_record(manifest), contents)}


def changed(manifest: Path, info: Mapping[str, Any]) -> bool:
    """Tell whether an image that a stage read has another content now.

    info: that of the stage's manifest. Images that no longer exist are not compared. Raises
    CorruptFile for a record that is not the one that the manifest names.
    """
    return "sources" in info and _changed(manifest, info["sources"])


def check(path: str | Path) -> None:
    """Raise CorruptFile if the record beside a manifest is not the one that the manifest names."""
    if expected := manifests.read_sealed(path)["info"].get("sources"):
        _contents(Path(path), expected)


@functools.cache
def _changed(manifest: Path, expected: str) -> bool:
    contents = _contents(manifest, expected)
    root, known = contents["root"], contents["sha256"]
    old = _load_times(manifest, len(known))
    names = list(known)
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    # A network's disk answers many questions at once in the time of one.
    with ThreadPoolExecutor(ASKED) as pool:
        found = pool.map(lambda chunk: [_time(f"{root}/{name}") for name in chunk], chunks)
        new = _column(time for chunk in found for time in chunk)
    doubtful = np.flatnonzero((old != new).any(axis=1))
    for row in doubtful:
        path = f"{root}/{names[row]}"
        if new[row, 1] and files.sha256(path) != known[names[row]]:
            return True
    if len(doubtful):
        # A folder that may not be written to is only slower.
        with contextlib.suppress(OSError, CobayeError):
            arrays.save_array(_times(manifest), new)
    return False


def _contents(manifest: Path, expected: str) -> dict[str, Any]:
    path = _record(manifest)
    data = path.read_bytes() if path.is_file() else b""
    if (actual := hashlib.sha256(data).hexdigest()) != expected:
        found = f"found {actual}" if data else "missing"
        raise CorruptFile(f"{path}: expected sha256 {expected}, {found}")
    return json.loads(data)


def _record(manifest: Path) -> Path:
    return manifest.with_suffix(".sources.json")


def _times(manifest: Path) -> Path:
    return manifest.with_name(f".{manifest.stem}.times.npy")


def _column(times: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(times), np.int64).reshape(-1, 2)


def _load_times(manifest: Path, count: int) -> np.ndarray:
    """Return size and time of change of each image (count, 2); zeros where that is not known."""
    with contextlib.suppress(OSError, CobayeError):
        times = arrays.load_array(_times(manifest))
        if times.shape == (count, 2) and times.dtype == np.int64:
            return times
    return np.zeros((count, 2), np.int64)


def _time(path: str) -> tuple[int, int]:
    """Return a file's size and time of change in ns; zeros if it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
