"""Choose a λ for each class of a study, in one way."""

from _worker import device, job
from cobaye.derived import class_decay

with job(snakemake) as told:
    class_decay.choose(
        **told,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
