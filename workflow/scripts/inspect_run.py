"""Look inside one run: from its checkpoints to small tables."""

from _worker import job_of
from cobaye.inside.inspecting import inspect_run

with job_of(snakemake, "inspect_run") as job:
    inspect_run(job)
