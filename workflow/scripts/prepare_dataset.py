"""Prepare a dataset: images, labels and class names as plain arrays, and their manifest."""

from _worker import job
from cobaye import recipes
from cobaye.data import datasets

with job(snakemake) as told:
    kind = recipes.parse(recipes.Kind, told["recipe"])
    datasets.prepare(kind, told["identity"], told["code"])
