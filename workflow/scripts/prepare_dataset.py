"""Prepare a dataset: images, labels and class names as plain arrays, and their manifest."""

from _worker import job
from cobaye import datasets, recipes

with job(snakemake) as told:
    kind = recipes.parse(recipes.Kind, told["recipe"])
    datasets.prepare(kind, told["identity"], told["code"])
