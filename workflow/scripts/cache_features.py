"""Cache one shard of a split's penultimate features."""

from _worker import job_of
from cobaye.features.caching import cache_features

with job_of(snakemake, "cache_features") as job:
    cache_features(job)
