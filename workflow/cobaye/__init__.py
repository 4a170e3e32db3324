"""The library behind the workflow: everything that computes; it knows nothing of Snakemake.

In: the files of config/, and data. Out: features, checkpoints, tables, figures and stories.
"""
