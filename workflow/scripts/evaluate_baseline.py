"""Evaluate the last layer that a backbone came with."""

from _worker import job_of
from cobaye.evaluation.baseline import evaluate_baseline

with job_of(snakemake, "evaluate_baseline") as job:
    evaluate_baseline(job)
