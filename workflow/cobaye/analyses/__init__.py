"""Analyses of a study's finished runs, one kind per file.

In: files of runs, tables and splits. Out: more tables, with a manifest per analysis.

Every kind states ``TABLES`` (table name → file) and ``Options``. There are two sorts.

Across runs: ``analyse(job, options)`` → tables by name. A kind states its inputs: ``READS_RUNS``,
files of every run; ``READS_CHOSEN = True``, the λ chosen for each class; ``READS_CLASS_DECAY =
True``, these and the same files of the runs with these λ, where the study has some;
``READS_BASELINE = True``, the backbone's own last layer, where it is evaluated;
``READS_AUGMENTATIONS = True``, the augmentations of each optimizer; ``READS_TABLES``,
tables, or a mapping from another analysis to its table, read where the study has it; ``SPLITS``, of
the data. ``NETWORKS`` and ``LOSS`` state what it supports, if not everything.

One that states ``OVER`` works over other axes than λ too: see `_axes` and `kinds`.

Of single runs: ``inspect(run, options)`` → tables by name, and ``STATES``, ``COLUMNS``, ``SPLIT``:
see `inside.inspecting`.
"""

from __future__ import annotations

from pathlib import Path

from cobaye import kinds, recipes
from cobaye.inside import inspecting
from cobaye.storage.jobs import Job
from cobaye.tables.writing import write_tables


def analyse(job: Job) -> Path:
    """Make the tables of an analysis; return their manifest.

    job.identity: {"study", "maker": the kind}. job.recipe: {"options", "data"} and what the kind
    reads: "runs", "tables", …, or "inspected".
    """
    kind = job.identity["maker"]
    if kinds.constant("analyses", kind, "STATES"):
        return write_tables(job, inspecting.join(job))
    options = recipes.parse(kinds.options("analyses", kind), job.recipe["options"])
    made = kinds.load("analyses", kind).analyse(job, options)
    if axis := kinds.axis(kind):
        made = {kinds.over(name, axis): table for name, table in made.items()}
    return write_tables(job, made)
