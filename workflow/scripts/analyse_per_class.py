"""Judge the runs with a λ for each class on test, beside the best single λ."""

from _worker import job
from cobaye.analyses import per_class

with job(snakemake) as told:
    per_class.analyse(**told, dataset=snakemake.params.dataset, expected=snakemake.params.expected)
