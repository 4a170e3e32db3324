"""Evaluate every checkpoint of a derived run."""

from _worker import device, job
from cobaye.derived import retrained

with job(snakemake) as told:
    retrained.evaluate(
        **told,
        expected=snakemake.params.expected,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
