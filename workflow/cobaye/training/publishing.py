"""The declared files of a finished run, moved into place from its resume folder."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import torch

from cobaye.storage import files, machine, manifests, resume
from cobaye.training import history, stopping


def publish(
    folder: Path,
    scratch: Path,
    progress: resume.Progress,
    manifest: manifests.Manifest,
    circumstances: dict[str, Any],
    penalty: float,
) -> Path:
    """Publish the declared files of a finished run; the manifest comes last and vouches for them.

    circumstances: further keys of run.json. penalty: λ/2 ‖θ‖² + λ₁ ‖θ‖₁ at the last weights.
    """
    staged = scratch / "published"
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
        **manifest.info,
        "epochs": progress.epoch,
        "stopped": progress.stopped,
        "finite": stopping.is_finite(progress.stopped),
        # At the last weights; history.csv has means over an epoch.
        "penalty": penalty if math.isfinite(penalty) else None,
        **({"certificate": progress.certificate} if progress.certificate else {}),
    }
    manifest = dataclasses.replace(manifest, files=described, info=info)
    files.write_json(folder / "run.json", _circumstances(manifest, progress, circumstances))
    manifest.write(folder / "train.json")
    return folder / "train.json"


def _circumstances(
    manifest: manifests.Manifest, progress: resume.Progress, circumstances: dict[str, Any]
) -> dict[str, Any]:
    """Return run.json: the recipe, and on which machine and for how long the run trained."""
    return {
        "identity": manifest.identity,
        "recipe": manifest.recipe,
        "code": manifest.code,
        "data": manifest.inputs,
        **manifest.info,
        **circumstances,
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "machine": machine.machine(),
        "seconds": progress.seconds,
        "resumed_from": progress.resumed_from,
    }
