"""Infer what λ does to each class of a study, and what chance does."""

from _worker import job
from cobaye.analyses import classes

with job(snakemake) as told:
    classes.analyse(**told, data=snakemake.params.data, expected=snakemake.params.expected)
