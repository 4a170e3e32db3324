"""Join what an analysis found inside each run of a study."""

from _worker import job
from cobaye.inside import inspecting

with job(snakemake) as told:
    inspecting.join(**told, expected=snakemake.params.expected)
