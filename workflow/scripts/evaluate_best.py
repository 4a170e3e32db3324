"""Evaluate on test the configuration that is best on validation."""

from _worker import job_of
from cobaye.evaluation.best import evaluate_best

with job_of(snakemake, "evaluate_best") as job:
    evaluate_best(job)
