"""Make the tables of a study from its evaluated runs."""

from _worker import job_of
from cobaye.tables.tabulate import tabulate

with job_of(snakemake, "tabulate") as job:
    tabulate(job)
