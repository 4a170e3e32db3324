"""Prepare a backbone: the network that a run trained."""

from _worker import job
from cobaye import backbones

with job(snakemake) as told:
    backbones.from_run(**told, expected=snakemake.params.expected)
