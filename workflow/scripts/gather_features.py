"""Gather a split's shards of features: check them against each other, add the labels."""

from _worker import job
from cobaye import features

with job(snakemake) as told:
    features.gather(**told)
