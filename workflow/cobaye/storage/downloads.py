"""Downloads: made in a temporary folder beside their place, checked, and then renamed."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cobaye.errors import UNWRITABLE, DataError, writable
from cobaye.storage import files

# Seconds without a byte after which a connection is given up.
PATIENCE = 60.0


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, from which it is to be published, and remove it.

    One process at a time has such a folder for a target; others wait. What killed ones left is
    removed first.
    """
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_name(f".lock-{target.name}")):
            files.remove_temporaries(target)
            staged = target.with_name(f"{files.TEMPORARY}{os.getpid()}-{target.name}")
            staged.mkdir()
            try:
                yield staged
            finally:
                shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock that no other process holds; the system releases it when a process dies."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Its last holder may have removed it between open and lock.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                break
        os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def download(
    urls: Sequence[str], target: Path, get: Callable[[str, Path], object], cure: str
) -> None:
    """Have a file downloaded, from the first address that gives the right one.

    get(url, path): downloads to a path, and raises RuntimeError for another file than the
    published one, by its checksum. cure: what to do without a network, the end of a sentence.
    Raises DataError where no address gives it; nothing is at `target` then.
    """
    reasons = []
    with staging(target) as staged:
        for url in urls if not target.exists() else ():
            print(f"Downloading {url} to {target}", flush=True)
            try:
                with _patience():
                    get(url, staged / target.name)
                files.publish_file(staged / target.name, target)
                return
            except (RuntimeError, OSError, ValueError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in UNWRITABLE:
                    raise
                reasons.append(f"{url}: {_said(error)}")
    if reasons:
        raise DataError(
            "\n  ".join([f"{target.name} cannot be downloaded:", *reasons])
            + f"\nTry again; or, where there is no network, get it elsewhere and {cure}"
        )


def _said(error: Exception) -> str:
    if type(error) is RuntimeError or isinstance(error, http.client.IncompleteRead):
        return "what came is not the published file, by its checksum: cut short, or another one"
    # urllib wraps what the system says.
    reason = getattr(error, "reason", None)
    error = reason if isinstance(reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"no answer for {PATIENCE:g} s"
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Have connections that are opened meanwhile end after `PATIENCE` without a byte."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
