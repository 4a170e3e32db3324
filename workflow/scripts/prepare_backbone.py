"""Prepare a backbone: the network that a run trained, or one of torchvision."""

from _worker import job
from cobaye.models import backbones

with job(snakemake) as told:
    backbones.prepare(**told, expected=snakemake.params.expected)
