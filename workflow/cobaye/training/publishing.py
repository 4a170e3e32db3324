"""The declared files of a finished run, moved into place from its resume folder."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cobaye.errors import writable
from cobaye.storage import files, machine, manifests, paths, resume
from cobaye.storage.jobs import Job
from cobaye.training import commits, history, stopping


def publish(
    job: Job,
    run: commits.Run,
    circumstances: dict[str, Any],
    penalty: float,
    info: dict[str, Any] | None = None,
) -> Path:
    """Publish the declared files of a finished run; the manifest comes last and vouches for them.

    circumstances: what run.json says beside what every run knows. penalty: that of the objective at
    the last weights. info: what the manifest says beside what every run knows.
    """
    folder, staged = job.folder, run.folder / "published"
    files.remove(staged)
    with writable(staged):
        staged.mkdir()
        for name in run.checkpoints:
            files.link(run.folder / resume.CHECKPOINTS / name, staged / name)
        # All at once, since checkpoints were written without: the first takes most along.
        for path in (*staged.iterdir(), staged):
            files.sync(path)
    beside: dict[str, Any] = {}
    if run.class_losses:
        path = staged / Path(paths.CLASS_LOSSES).name
        sha256 = _write_array(path, np.array(run.class_losses))
        beside[paths.CLASS_LOSSES] = manifests.describe(path, sha256)
    files.publish_directory(staged, folder / "checkpoints")
    text = "\n".join([",".join(history.COLUMNS), *run.rows]) + "\n"
    sha256 = files.write_bytes(folder / "history.csv", text.encode())
    described = {
        **{f"checkpoints/{name}": entry for name, entry in run.checkpoints.items()},
        "history.csv": manifests.describe(folder / "history.csv", sha256),
        **beside,
    }
    info = {
        **(info or {}),
        "epochs": run.epoch,
        "stopped": run.stopped,
        "finite": stopping.is_finite(run.stopped),
        # At the last weights; history.csv has means over an epoch.
        "penalty": penalty if math.isfinite(penalty) else None,
        **({"certificate": run.certificate} if run.certificate else {}),
    }
    files.write_json(folder / "run.json", _circumstances(job, run, {**info, **circumstances}))
    return job.publish(described, info)


def _write_array(path: Path, array: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return files.write_bytes(path, buffer.getvalue())


def _circumstances(job: Job, run: commits.Run, circumstances: dict[str, Any]) -> dict[str, Any]:
    """Return run.json: the recipe, and on which machine and for how long the run trained."""
    return {
        "identity": job.identity,
        "recipe": job.recipe,
        "code": job.code,
        "data": job.inputs,
        **circumstances,
        "threads": torch.get_num_threads(),
        "products": run.products,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "seconds": run.seconds,
        "resumed_from": run.resumed_from,
    }
