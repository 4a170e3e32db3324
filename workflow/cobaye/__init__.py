"""The library behind the workflow: everything that computes; it knows nothing of Snakemake."""
