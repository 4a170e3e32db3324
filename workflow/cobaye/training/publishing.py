"""The declared files of a finished run, moved into place from its resume folder."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import torch

from cobaye.storage import files, machine, manifests, resume
from cobaye.storage.jobs import Job
from cobaye.training import history, stopping


def publish(
    job: Job,
    scratch: Path,
    progress: resume.Progress,
    circumstances: dict[str, Any],
    penalty: float,
    info: dict[str, Any] | None = None,
) -> Path:
    """Publish the declared files of a finished run; the manifest comes last and vouches for them.

    circumstances: what run.json says beside what every run knows. penalty: that of the objective at
    the last weights. info: what the manifest says beside what every run knows.
    """
    folder, staged = job.folder, scratch / "published"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in progress.checkpoints:
        files.link(scratch / resume.CHECKPOINTS / name, staged / name)
    files.publish_directory(staged, folder / "checkpoints")
    text = "\n".join([",".join(history.COLUMNS), *progress.rows]) + "\n"
    sha256 = files.write_bytes(folder / "history.csv", text.encode())
    described = {
        **{f"checkpoints/{name}": entry for name, entry in progress.checkpoints.items()},
        "history.csv": manifests.describe(folder / "history.csv", sha256),
    }
    info = {
        **(info or {}),
        "epochs": progress.epoch,
        "stopped": progress.stopped,
        "finite": stopping.is_finite(progress.stopped),
        # At the last weights; history.csv has means over an epoch.
        "penalty": penalty if math.isfinite(penalty) else None,
        **({"certificate": progress.certificate} if progress.certificate else {}),
    }
    files.write_json(folder / "run.json", _circumstances(job, progress, {**info, **circumstances}))
    return job.publish(described, info)


def _circumstances(
    job: Job, progress: resume.Progress, circumstances: dict[str, Any]
) -> dict[str, Any]:
    """Return run.json: the recipe, and on which machine and for how long the run trained."""
    return {
        "identity": job.identity,
        "recipe": job.recipe,
        "code": job.code,
        "data": job.inputs,
        **circumstances,
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "machine": machine.machine(),
        "seconds": progress.seconds,
        "resumed_from": progress.resumed_from,
    }
