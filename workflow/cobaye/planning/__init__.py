"""What each job of Snakemake gets.

In: the checked config. Out: identity, recipe, code digest, files and resources of every job; no
torch.
"""
