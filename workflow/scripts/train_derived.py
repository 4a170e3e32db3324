"""Train a derived run, from its last complete epoch if it was begun."""

from _worker import device, job
from cobaye.derived import retrained

with job(snakemake) as told:
    retrained.train(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
