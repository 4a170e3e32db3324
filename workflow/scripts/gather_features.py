"""Gather a split's shards of features: check them against each other, add the labels."""

from _worker import job_of
from cobaye.features.gathering import gather_features

with job_of(snakemake, "gather_features") as job:
    gather_features(job)
