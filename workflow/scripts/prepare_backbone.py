"""Prepare a backbone: the network that a run trained, or one of torchvision."""

from _worker import job_of
from cobaye.models.backbones import prepare_backbone

with job_of(snakemake, "prepare_backbone") as job:
    prepare_backbone(job)
