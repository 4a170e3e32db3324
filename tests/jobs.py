"""A job of a stage, as a script would get it from Snakemake."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

from cobaye import recipes
from cobaye.storage import journal, paths, resume
from cobaye.storage.jobs import Job

CODE = "c0de"


def job(stage: str, identity: dict[str, Any], recipe: Any, root: Path = Path(), **more: Any) -> Job:
    """Return a job.

    recipe: a dataclass of `recipes`, or JSON values. more: as in `Job`; `expected` may be the
    fingerprint of the training of its run alone.
    """
    if isinstance(trained := more.get("expected"), str):
        run = recipe["run"] if stage == "prepare_backbone" else identity
        more["expected"] = {paths.manifest("train", run): trained}
    code = more.pop("code", CODE)
    return Job(stage, dict(identity), recipes.plain(recipe), code, root=root, **more)


def epochs_done(run: Path) -> int:
    """Return the last epoch that the training of a run has committed, -1 if there is none."""
    path = run / paths.RESUME / journal.NAME
    # A line says what is trained, then one each epoch, from 0 on.
    return path.read_bytes().count(b"\n") - 2 if path.exists() else -1


def freeze(process: Popen, epochs: int, *runs: Path, seconds: float = 300) -> list[int]:
    """Stop the trainings of runs as soon as each has committed so many epochs; return their pids.

    process: the Snakemake that they are jobs of.
    """
    deadline, stopped = time.monotonic() + seconds, {}
    while len(stopped) < len(runs):
        assert process.poll() is None, "ended before a training could be stopped"
        assert time.monotonic() < deadline, "no training in time"
        for run in runs:
            if run not in stopped and epochs_done(run) >= epochs:
                holder = (run / paths.RESUME / resume.LOCK).read_text()
                stopped[run] = int(re.search(r"pid (\d+)", holder)[1])
                os.kill(stopped[run], signal.SIGSTOP)
                assert not (run / "train.json").exists()
        time.sleep(0.01)
    return [stopped[run] for run in runs]
