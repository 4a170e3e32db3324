"""Look inside one run: a kind of analysis, from its checkpoints to small tables."""

from _worker import device, job
from cobaye.inside import inspecting

with job(snakemake) as told:
    inspecting.measure(
        **told,
        expected=snakemake.params.expected,
        device=device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
