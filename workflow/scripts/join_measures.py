"""Join what an analysis found inside each run of a study."""

from _worker import job
from cobaye import measuring

with job(snakemake) as told:
    measuring.join(**told, expected=snakemake.params.expected)
