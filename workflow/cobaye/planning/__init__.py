"""Plans of Snakemake's jobs.

In: the checked config. Out: identity, recipe, code digest, files and resources of every job.
Nothing here imports torch.
"""
