"""Finished runs of a study, checked before anything is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cobaye.storage import manifests, paths
from cobaye.storage.jobs import Job


@dataclass(frozen=True)
class Finished:
    """A run's folder and the manifests of its training and evaluation."""

    folder: Path
    trained: manifests.Manifest
    evaluated: manifests.Manifest

    @property
    def epoch(self) -> int:
        """The epoch whose weights stand for the run."""
        return manifests.reported_epoch(self.trained, self.evaluated)


def finished(job: Job, run: Mapping[str, Any]) -> Finished:
    """Return a run of a job's study, once its manifests are checked (`Job.read`)."""
    identity = {"study": job.identity["study"], **run}
    folder = job.root / paths.RUN.format(**identity)
    return Finished(folder, job.read("train", identity), job.read("evaluate", identity))
