"""Describe a study's models: their layers, and the tensors of their training."""

from _worker import job_of
from cobaye.models.layers import describe_models

with job_of(snakemake, "describe_models") as job:
    describe_models(job)
