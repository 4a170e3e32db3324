"""Evaluate every checkpoint of a run on every split."""

from _worker import job_of
from cobaye.evaluation.evaluate import evaluate

with job_of(snakemake, "evaluate") as job:
    evaluate(job)
