"""Train a run with a λ for each class, from its last complete epoch if it was begun."""

from _worker import device, job
from cobaye import per_class

with job(snakemake) as told:
    per_class.train(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
