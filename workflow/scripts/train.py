"""Train one run, from its last complete epoch if it was begun."""

from _worker import job_of
from cobaye.training.loop import train

with job_of(snakemake, "train") as job:
    train(job)
