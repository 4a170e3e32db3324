"""Make the tables of a study's derived runs."""

from _worker import job
from cobaye.derived import retrained

with job(snakemake) as told:
    retrained.tabulate(**told, expected=snakemake.params.expected)
