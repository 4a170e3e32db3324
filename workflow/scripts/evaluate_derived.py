"""Evaluate every checkpoint of a derived run."""

from _worker import device, job
from cobaye import derived

with job(snakemake) as told:
    derived.evaluate(
        **told,
        expected=snakemake.params.expected,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
