"""Make the tables of a study's derived runs."""

from _worker import job
from cobaye import derived

with job(snakemake) as told:
    derived.tabulate(**told, expected=snakemake.params.expected)
