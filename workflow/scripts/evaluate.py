"""Evaluate every checkpoint of a run on every split."""

from _worker import device, job
from cobaye import recipes
from cobaye.evaluation import evaluate

with job(snakemake) as told:
    evaluate.evaluate(
        recipes.parse(recipes.Evaluation, told["recipe"]),
        told["identity"],
        told["code"],
        snakemake.params.expected,
        device(snakemake),
        memory=snakemake.config.get("memory_share", 0.5),
    )
