"""Files that are whole or absent.

Every result goes through :func:`writing` or :func:`publish_directory`: a temporary name beside the
target, fsync, rename, fsync of the folder. Everything that is read is checked against a manifest
(`storage.manifests`), written after the files it names. What is in training is in a
`storage.journal`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cobaye.errors import CorruptFile, writable

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that it appears whole, at the end, or not at all.

    Temporary files that a killed process left for the same target are removed first, so one target
    has one writer at a time (Snakemake, or the lock of a run, sees to that).
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(path)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_bytes(path: Path | str, data: bytes) -> str:
    """Write a file whole or not at all; return the sha256 of ``data`` in hex."""
    with writing(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path | str, value: Any) -> str:
    """Write JSON that two equal values give byte for byte; return its sha256."""
    return write_bytes(path, _encoded(value))


def _encoded(value: Any) -> bytes:
    return (canonical(value, indent=1) + "\n").encode()


def read_json(path: Path | str) -> Any:
    """Read JSON; a missing file, or one that :func:`write_json` did not make, is a CorruptFile."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError("a folder, or a file of another kind")
        data = Path(path).read_bytes()
        if data != _encoded(value := json.loads(data)):
            raise ValueError("other bytes than this project writes")
        return value
    except FileNotFoundError:
        raise CorruptFile(f"{path}: missing") from None
    except ValueError as error:
        raise CorruptFile(f"{path}: expected JSON of this project: {error}") from None


def canonical(value: Any, indent: int | None = None) -> str:
    """Return the one JSON text of a value: sorted keys, no NaN (use None)."""
    return json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the sha256, in hex, of a JSON value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sha256(path: Path | str) -> str:
    """Return the sha256 of a file's content, in hex; OSError for anything but a file."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for its writer
        raise OSError(errno.EINVAL, "not a file", str(path))
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_directory(source: Path, target: Path) -> None:
    """Rename a finished folder to its published name, replacing what an orphan may have left."""
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(target)
        if target.exists():
            old = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
            os.replace(target, old)
            shutil.rmtree(old)
        os.replace(source, target)
        sync(target.parent)


def publish_file(source: Path, target: Path) -> None:
    """Rename a finished file to its published name, replacing what is there."""
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        sync(source)
        os.replace(source, target)
        sync(target.parent)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no such thing, a copy."""
    try:
        os.link(source, target)
    except OSError:
        with open(source, "rb") as original, writing(target) as file:
            shutil.copyfileobj(original, file)


def remove_temporaries(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it."""
    pattern = re.compile(re.escape(TEMPORARY) + r"\d+-" + re.escape(path.name))
    for name in os.listdir(path.parent):
        if pattern.fullmatch(name):
            remove(path.with_name(name))


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
