"""Analyses of a study's finished runs, one kind per file.

In: files of runs, tables and splits. Out: more tables, with a manifest per analysis.

Every kind states ``TABLES`` (table name → file) and ``Options``. There are two sorts.

Across runs: ``analyse(job, options)`` → tables by name. A kind states its inputs: ``READS_RUNS``,
files of every run; ``READS_CLASS_DECAY = True``, the same files of the runs with a λ for each
class, and the chosen λ (``"if any"``: where the study has some); ``READS_TABLES``, tables, or a
mapping from another analysis to its table, read where the study has it; ``SPLIT``, a split of the
data.

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
    return write_tables(job, kinds.load("analyses", kind).analyse(job, options))
