"""Evaluate the runs of a group, one after the other in one process."""

from _worker import device, job
from cobaye import recipes
from cobaye.evaluation import evaluate

with job(snakemake) as told:
    evaluate.evaluate_group(
        [
            {**run, "recipe": recipes.parse(recipes.Evaluation, run["recipe"])}
            for run in told["recipe"]["runs"]
        ],
        told["identity"],
        device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
