"""The declared files of a finished run, put in their place from its resume folder."""

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
    """Give a finished run its declared files; the manifest, last, says that they are all there.

    circumstances: what run.json says beside what every run knows. penalty: that of the objective at
    the last weights.
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
        # Of the last weights, where history.csv has means over an epoch.
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
    """Return run.json: what was asked, and where, when and how long it ran."""
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
