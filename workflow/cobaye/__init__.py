"""The library behind the workflow: everything that computes, and nothing that knows of Snakemake."""
