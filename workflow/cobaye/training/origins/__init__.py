"""Origins of recipes that the config does not state, one kind per file.

In: a job and finished tables. Out: the recipe of its training, and the origin for the manifest.

A kind has ``resolve(job) -> (Training, Origin)``. A job whose recipe names no origin carries the
whole recipe of its training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cobaye import kinds, recipes
from cobaye.storage.jobs import Job


@dataclass(frozen=True)
class Origin:
    """What a table gave. values: what was taken from it, for run.json."""

    values: dict[str, Any]


def resolve(job: Job) -> tuple[recipes.Training, Origin | None]:
    """Return the recipe of a run and, if it comes from a table, what was taken from there."""
    if "origin" not in job.recipe:
        return recipes.parse(recipes.Training, job.recipe), None
    return kinds.load("origins", job.recipe["origin"]).resolve(job)
