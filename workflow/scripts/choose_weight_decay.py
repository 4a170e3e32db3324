"""Choose a λ for each class of a study, in one way."""

from _worker import job_of
from cobaye.class_decay.choosing import choose_weight_decay

with job_of(snakemake, "choose_weight_decay") as job:
    choose_weight_decay(job)
