"""Gather a split's shards of features: check them against each other, add the labels."""

from _worker import job
from cobaye.features import gathering

with job(snakemake) as told:
    gathering.gather(**told)
