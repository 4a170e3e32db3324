"""Compare what was found inside each network with how well it does on test."""

from _worker import job
from cobaye.analyses import indicators

with job(snakemake) as told:
    indicators.analyse(**told)
