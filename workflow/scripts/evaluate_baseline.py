"""Evaluate the last layer that a backbone came with."""

from _worker import device, job
from cobaye import recipes
from cobaye.evaluation import baseline

with job(snakemake) as told:
    baseline.evaluate_baseline(
        recipes.parse(recipes.Data, told["recipe"]),
        told["identity"],
        told["code"],
        device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
