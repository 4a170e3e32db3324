"""Prepare a dataset: images, labels and class names as plain arrays, and their manifest."""

from _worker import job_of
from cobaye.data.datasets import prepare_dataset

with job_of(snakemake, "prepare_dataset") as job:
    prepare_dataset(job)
