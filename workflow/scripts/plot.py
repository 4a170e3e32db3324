"""Draw one figure of a study from its tables."""

from _worker import job
from cobaye import figures

with job(snakemake) as told:
    figures.plot(**told)
