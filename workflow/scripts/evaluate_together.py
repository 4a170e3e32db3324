"""Evaluate the runs of a group, one after the other in one process."""

from _worker import job_of
from cobaye.evaluation.evaluate import evaluate_together

with job_of(snakemake, "evaluate_together") as job:
    evaluate_together(job)
