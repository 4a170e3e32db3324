"""Evaluate on test the configuration that is best on validation."""

from _worker import device, job
from cobaye.evaluation import best

with job(snakemake) as told:
    best.evaluate_best(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
