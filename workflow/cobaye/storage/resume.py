"""Resume folders: what a killed training needs to go on from its last complete epoch.

They lie in ``seed-<n>/.resume/``, unknown to Snakemake, which so never deletes them. Each is used
by one process at a time; `storage.journal` is what it holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cobaye.errors import CobayeError, writable
from cobaye.storage import paths

FOLDER = paths.RESUME
LOCK = "lock"
CHECKPOINTS = "checkpoints"


class Locked(CobayeError):
    """Another process is at work on the same run."""


@contextlib.contextmanager
def lock(run: Path, wait: float = 30.0) -> Iterator[Path]:
    """Hold a run's lock, and yield its resume folder; released by the system when a process dies.

    Raises Locked, with host, pid and start of the holder, after `wait` seconds.
    """
    folder = run / FOLDER
    deadline = time.monotonic() + wait
    while (descriptor := _try_lock(folder)) is None:
        if time.monotonic() > deadline:
            holder = _holder(folder)
            raise Locked(
                f"{run}: another process has been training this run for the {wait:g} s that this "
                f"one waited: {holder}. Wait for it or end it, then run the same command again."
            )
        time.sleep(0.2)
    try:
        yield folder
    finally:
        os.close(descriptor)


def _try_lock(folder: Path) -> int | None:
    try:
        with writable(folder / LOCK):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        # Removed by `forget` in between.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The folder may have been removed between open and lock.
        if os.fstat(descriptor).st_ino != os.stat(folder / LOCK).st_ino:
            raise FileNotFoundError
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    started = datetime.now(UTC).isoformat(timespec="seconds")
    holder = f"host {platform.node()}, pid {os.getpid()}, since {started}"
    with writable(folder / LOCK):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    return descriptor


def _holder(folder: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (folder / LOCK).read_text(encoding="utf-8") or "unknown"
    return "unknown"


def forget(run: Path) -> None:
    """Remove a run's resume state; `evaluate` calls this at its start."""
    if (run / FOLDER).exists():
        with lock(run) as folder:
            shutil.rmtree(folder)
