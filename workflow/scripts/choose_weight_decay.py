"""Choose a λ for each class of a study, in one way."""

from _worker import device, job
from cobaye import per_class

with job(snakemake) as told:
    per_class.choose(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
