"""Train the runs of a group side by side, from their last complete epoch if they were begun."""

from _worker import device, job
from cobaye import recipes
from cobaye.training import together

with job(snakemake) as told:
    together.train(
        [
            together.Told(
                recipes.parse(recipes.Training, run["recipe"]), run["identity"], run["code"]
            )
            for run in told["recipe"]["runs"]
        ],
        told["identity"],
        device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
