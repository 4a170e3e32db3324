"""Make a study's tables from its evaluated runs."""

from _worker import job
from cobaye import tables

with job(snakemake) as told:
    tables.tabulate(**told, dataset=snakemake.params.dataset, expected=snakemake.params.expected)
