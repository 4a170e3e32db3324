"""The declared files of a finished run, moved into place from its resume folder."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cobaye.storage import files, machine, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import history, stopping


def publish(
    job: Job,
    scratch: Path,
    progress: resume.Progress,
    circumstances: dict[str, Any],
    penalty: float,
    info: dict[str, Any] | None = None,
    class_losses: np.ndarray | None = None,
) -> Path:
    """Publish the declared files of a finished run; the manifest comes last and vouches for them.

    circumstances: what run.json says beside what every run knows. penalty: that of the objective at
    the last weights. info: what the manifest says beside what every run knows. class_losses:
    (epochs, classes), written where there is a row.
    """
    folder, staged = job.folder, scratch / "published"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in progress.checkpoints:
        files.link(scratch / resume.CHECKPOINTS / name, staged / name)
    beside: dict[str, Any] = {}
    if class_losses is not None and len(class_losses):
        path = staged / Path(paths.CLASS_LOSSES).name
        beside[paths.CLASS_LOSSES] = manifests.describe(path, _write_array(path, class_losses))
    files.publish_directory(staged, folder / "checkpoints")
    text = "\n".join([",".join(history.COLUMNS), *progress.rows]) + "\n"
    sha256 = files.write_bytes(folder / "history.csv", text.encode())
    described = {
        **{f"checkpoints/{name}": entry for name, entry in progress.checkpoints.items()},
        "history.csv": manifests.describe(folder / "history.csv", sha256),
        **beside,
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


def _write_array(path: Path, array: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return files.write_bytes(path, buffer.getvalue())


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
        "products": progress.products,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "seconds": progress.seconds,
        "resumed_from": progress.resumed_from,
    }
