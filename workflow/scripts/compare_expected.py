"""Compare what a study found with the values that it expects."""

from _worker import job_of
from cobaye.tables.expected import compare_expected

with job_of(snakemake, "compare_expected") as job:
    compare_expected(job)
