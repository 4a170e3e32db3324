"""See that a dataset's files are there: download and unpack those that are missing."""

from _worker import job_of
from cobaye.data.datasets import fetch_dataset

with job_of(snakemake, "fetch_dataset") as job:
    fetch_dataset(job)
