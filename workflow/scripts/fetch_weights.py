"""See that torchvision's weights of a backbone are there: download them if they are missing."""

from _worker import job_of
from cobaye.models.pretrained import fetch_weights

with job_of(snakemake, "fetch_weights") as job:
    fetch_weights(job)
