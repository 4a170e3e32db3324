"""Make a study's tables from its evaluated runs."""

from _worker import job
from cobaye.tables import tabulate

with job(snakemake) as told:
    tabulate.tabulate(**told, dataset=snakemake.params.dataset, expected=snakemake.params.expected)
