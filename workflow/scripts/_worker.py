"""What all scripts share: the log, one clear message for an error the user can mend, the end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _forks

# Before anything that takes long to import.
if _forks.PLACE in os.environ:
    _forks.hand_over()

import psutil

os.environ.setdefault(*_forks.PROGRESS)
# The library of this tree, whatever else is installed.
sys.path.insert(0, str(Path(__file__).parents[1]))

from cobaye.errors import MEND, UNWRITABLE, CobayeError, writable
from cobaye.storage import code_digest
from cobaye.storage.jobs import Job

SHELLS = ("bash", "dash", "sh", "zsh")


@contextlib.contextmanager
def job_of(snakemake: Any, stage: str) -> Iterator[Job]:
    """Run the body as a job of a stage: output into its log, ended when Snakemake is gone."""
    threading.Thread(target=_end_with_snakemake, daemon=True).start()
    terminal = os.dup(sys.stderr.fileno())
    try:
        _write_into(Path(snakemake.log[0]))
        keys = ("identity", "recipe", "code", "uses", "expected")
        job = Job(
            stage,
            **{key: snakemake.params[key] for key in keys},
            device=_device(snakemake),
            threads=snakemake.threads,
            memory=snakemake.config.get("memory_share", 0.5),
            script=Path(snakemake.scriptdir) / f"{stage}.py",
            tree=os.environ.get(code_digest.TREE),
        )
        if not stage.endswith("_together"):
            job.refuse_edited_code()
        yield job
        _forks.leave()
    except CobayeError as error:
        _end(f"\n{snakemake.rule}: {error}\n", terminal)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            _end(f"\n{snakemake.rule}: {error}: {MEND}\n", terminal)
        _end(traceback.format_exc(), terminal)


def _write_into(log: Path) -> None:
    """Have all that this process prints written into a file."""
    with writable(log), open(log, "a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.stderr = _Lines(sys.stderr)


class _Lines:
    """A stream on which each state of a progress bar is a line, rather than the last one's end."""

    def __init__(self, stream: Any):
        self._stream, self._begun = stream, False

    def write(self, text: str) -> int:
        lines = text.replace("\r", "\n")
        self._stream.write(lines if self._begun else lines.removeprefix("\n"))
        self._begun = not lines.endswith("\n") if lines else self._begun
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _end(text: str, terminal: int) -> None:
    """End this process with a message in the log, or where that is full, on the terminal."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    for place in (sys.stderr.fileno(), terminal):
        try:
            left = text.encode("utf-8", "backslashreplace")
            while left:
                left = left[os.write(place, left) :]
            os.fsync(place)
        except OSError as error:
            if error.errno != errno.EINVAL:  # of fsync: not a file, so nothing is left to write
                continue
        break
    os._exit(1)


def _device(snakemake: Any) -> str:
    """Return where to compute: on the GPU if the job was given one."""
    if not snakemake.resources.get("gpu", 0):
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise CobayeError(
            "this machine's torch finds no GPU: set device: cpu in config/config.yaml"
        )
    return "cuda"


def _end_with_snakemake(seconds: float = 0.5) -> None:
    """End this process soon after the one that started it, so that no orphan works on.

    That is the nearest ancestor that is no shell: Snakemake runs a script through one, which lives
    on when Snakemake is killed.
    """
    ancestors = [each for each in psutil.Process().parents() if each.name() not in SHELLS]
    # If the first is the system's first process, Snakemake was gone before this was asked.
    gone = not ancestors or (ancestors[0].pid == 1 and "snakemake" not in _command(ancestors[0]))
    while not gone and _alive(ancestors[0]):
        time.sleep(seconds)
    os._exit(1)


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
