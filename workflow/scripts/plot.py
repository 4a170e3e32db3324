"""Draw one figure of a study from its tables."""

from _worker import job_of
from cobaye.figures import plot

with job_of(snakemake, "plot") as job:
    plot(job)
