"""Make the tables of an analysis of a study."""

from _worker import job_of
from cobaye.analyses import analyse

with job_of(snakemake, "analyse") as job:
    analyse(job)
