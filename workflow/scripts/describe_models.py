"""Describe a study's models: their layers, and the tensors of their training."""

from _worker import job
from cobaye.models import layers

with job(snakemake) as told:
    layers.describe(**told)
