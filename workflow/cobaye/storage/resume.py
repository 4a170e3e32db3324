"""Resume state: what a killed training needs to go on from its last complete epoch.

It lies in ``seed-<n>/.resume/``, unknown to Snakemake, which so never deletes it. It is used only
by the run that wrote it (same recipe, code, data and format), one process at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cobaye.errors import CobayeError, CorruptFile, writable
from cobaye.storage import checkpoints, files, paths

FOLDER = paths.RESUME
LOCK = "lock"
STATE = "state.json"


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


@dataclasses.dataclass
class Progress:
    """A run's progress. rows: lines of history.csv. checkpoints: file name → manifest entry.

    seconds: per epoch. resumed_from: the epochs after which a killed process was followed.
    certificate: what the engine proves about the last weights. products: the library that it
    multiplies by (`objective.matmul.library`); None before its first epoch.
    """

    epoch: int = -1
    stopped: str | None = None
    rows: list[str] = dataclasses.field(default_factory=list)
    checkpoints: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: list[float] = dataclasses.field(default_factory=list)
    resumed_from: list[int] = dataclasses.field(default_factory=list)
    certificate: dict[str, Any] = dataclasses.field(default_factory=dict)
    products: str | None = None

    def save(
        self, folder: Path, fingerprint: dict[str, Any], optimizer: dict[str, torch.Tensor]
    ) -> None:
        """Commit an epoch: the optimizer's state first, then the file that names it, then tidy.

        A checkpoint of the epoch before that is no longer named goes too.
        """
        name = f"optimizer-{self.epoch:03d}.safetensors"
        entry = {"name": name, **checkpoints.save(folder / name, optimizer)}
        content = {
            "fingerprint": fingerprint,
            "optimizer": entry,
            "progress": vars(self),
        }
        files.write_json(folder / STATE, {**content, "seal": files.digest(content)})
        for other in folder.glob("optimizer-*.safetensors"):
            if other.name != name:
                other.unlink()
        before = paths.checkpoint(max(self.epoch - 1, 0))
        if before not in self.checkpoints:
            (folder / CHECKPOINTS / before).unlink(missing_ok=True)


def load(
    folder: Path, fingerprint: dict[str, Any], say: Callable[[str], None]
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Return the progress and optimizer state to go on from; a fresh start if there is none.

    State of another recipe, code, data or format, and damaged state, is reported and removed.
    """
    try:
        content = _read(folder)
        if content is not None:
            changed = differences(content["fingerprint"], fingerprint)
            if not changed:
                return _verified(folder, content)
            say("resume state not used, it is of another run: " + "; ".join(changed))
    except CorruptFile as error:
        say(f"resume state not used: {error}")
    for leftover in folder.iterdir():
        if leftover.name != LOCK:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return Progress(), {}


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return, field by field, how two JSON values differ: ``recipe.seed: 0 → 1``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if old == new else [f"{where}: {old} → {new}"]


def _read(folder: Path) -> dict[str, Any] | None:
    path = folder / STATE
    if not path.exists():
        return None
    try:
        content = files.read_json(path)
        seal = content.pop("seal")
    except (KeyError, AttributeError, TypeError):
        raise CorruptFile(f"{path}: expected sealed JSON") from None
    if seal != files.digest(content):
        raise CorruptFile(f"{path}: expected seal {files.digest(content)}, found {seal}")
    return content


def _verified(folder: Path, content: dict[str, Any]) -> tuple[Progress, dict[str, torch.Tensor]]:
    progress = Progress(**content["progress"])
    entry = content["optimizer"]
    entries = {f"{CHECKPOINTS}/{name}": e for name, e in progress.checkpoints.items()}
    for name, expected in {**entries, entry["name"]: entry}.items():
        path = folder / name
        if not path.is_file() or files.sha256(path) != expected["sha256"]:
            raise CorruptFile(f"{path}: not the file that {STATE} names")
    for file in (folder / CHECKPOINTS).iterdir():
        if file.name not in progress.checkpoints:  # a kill came before it was removed
            file.unlink()
    return progress, checkpoints.load(folder / entry["name"])


CHECKPOINTS = "checkpoints"


def last_checkpoint(folder: Path, progress: Progress) -> dict[str, torch.Tensor]:
    """Return the tensors after the last complete epoch."""
    return checkpoints.load(folder / CHECKPOINTS / paths.checkpoint(progress.epoch))
