"""Cache one shard of a split's penultimate features."""

from _worker import device, job
from cobaye import recipes
from cobaye.features import caching

with job(snakemake) as told:
    caching.cache_shard(
        recipes.parse(recipes.Caching, told["recipe"]),
        recipes.parse(recipes.Kind, snakemake.params.model),
        told["identity"],
        told["code"],
        device(snakemake),
        workers=snakemake.threads if snakemake.threads > 1 else 0,
    )
