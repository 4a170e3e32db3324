"""Write the page of a study on which every class can be looked up."""

from _worker import job_of
from cobaye.story.explorer.page import write_explorer

with job_of(snakemake, "write_explorer") as job:
    write_explorer(job)
