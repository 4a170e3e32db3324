"""Tell the story of a study in its own numbers."""

from _worker import job
from cobaye.story import story

with job(snakemake) as told:
    story.tell(**told)
