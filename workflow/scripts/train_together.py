"""Train a group of runs in one process, from their last complete epoch if they were begun."""

from _worker import job_of
from cobaye.training.together import train_together

with job_of(snakemake, "train_together") as job:
    train_together(job)
