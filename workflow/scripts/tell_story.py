"""Tell the story of a study in its own numbers."""

from _worker import job_of
from cobaye.story.story import tell_story

with job_of(snakemake, "tell_story") as job:
    tell_story(job)
