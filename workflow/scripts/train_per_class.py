"""Train a run with a λ for each class, from its last complete epoch if it was begun."""

from _worker import device, job
from cobaye.derived import class_decay

with job(snakemake) as told:
    class_decay.train(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
