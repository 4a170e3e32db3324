"""Train one run, from its last complete epoch if it was begun."""

from _worker import device, job
from cobaye import recipes
from cobaye.training import loop

with job(snakemake) as told:
    loop.train(
        recipes.parse(recipes.Training, told["recipe"]),
        told["identity"],
        told["code"],
        device(snakemake),
        expected=snakemake.params.expected,
        memory=snakemake.config.get("memory_share", 0.5),
    )
