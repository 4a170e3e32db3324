"""Train a derived run, from its last complete epoch if it was begun."""

from _worker import device, job
from cobaye import derived

with job(snakemake) as told:
    derived.train(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
