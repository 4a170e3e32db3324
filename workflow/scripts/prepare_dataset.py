"""Prepare a dataset: images, labels and class names as plain arrays, and their manifest."""

from pathlib import Path
from typing import TYPE_CHECKING

from _worker import job
from cobaye import datasets, recipes

if TYPE_CHECKING:
    snakemake: object

with job(snakemake) as told:
    kind = recipes.parse(recipes.Kind, told["recipe"])
    datasets.prepare(kind, told["identity"], told["code"], Path())
