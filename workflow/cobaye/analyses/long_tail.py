"""Procedures for classes of unequal size beside one λ: over all classes, and by their size.

Groups are those of the field, by training images: many, more than 100; medium, 20 to 100; few,
below 20 (Liu et al. 2019, arXiv:1904.05160). Where a study has not all three, they are the thirds
of its classes by size. Where all classes have equally many images, there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from cobaye.analyses import _long_tail_heads, _rival_heads, _rival_runs
from cobaye.recipes import draws
from cobaye.storage.jobs import Job

READS_TABLES = ("best-lambda", "metrics")
READS_RUNS = ("checkpoints", "classes.parquet")
READS_CLASS_DECAY = True
READS_BASELINE = True
SPLITS = ("train", "val", "test")
NETWORKS = ("linear", "perceptron")
LOSS = "cross-entropy"
TABLES = {"long-tail": "long-tail.csv"}
GROUPS = ("many", "medium", "few")
# Training images: `many` has more than the first, `few` fewer than the second.
MANY, FEW = 100, 20


@dataclass(frozen=True)
class Options(draws.Draws):
    """Of the draws."""


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Return the table of procedures, by configuration and group of classes.

    job.recipe: as that of the analysis `rivals`.
    """

    def untrained(path, loaded):
        counts = _counts(loaded)
        return [*_rival_heads.untrained(path), *_long_tail_heads.untrained(path, counts)]

    judged = _rival_runs.judged(job, SPLITS, options.seed, untrained)
    return {"long-tail": _rival_runs.joined(_by_group(judged, options))}


def _by_group(judged: Iterator[_rival_runs.Judged], options: Options) -> Iterator[pd.DataFrame]:
    for each in judged:
        counts = _counts(each.loaded).numpy()
        group = by_size(counts)
        for name in dict.fromkeys(("all", *group[np.argsort(-counts, kind="stable")])):
            of = np.ones(len(counts), bool) if name == "all" else group == name
            facts = {"classes": of.sum(), "fewest": counts[of].min(), "most": counts[of].max()}
            yield each.table("long-tail", options, of).assign(group=name, **facts)


def _counts(loaded: _rival_runs.Loaded) -> torch.Tensor:
    train = loaded["train"]
    return torch.bincount(train.labels, minlength=train.classes)


def by_size(counts: np.ndarray) -> np.ndarray:
    """Return each class's group, (K,) text, from its training images; ties of thirds by label.

    All are "all" where there are no groups.
    """
    if counts.min() == counts.max():
        return np.full(len(counts), "all")
    group = np.select([counts > MANY, counts < FEW], [0, 2], 1)
    if len(np.unique(group)) < len(GROUPS):
        group = np.empty(len(counts), np.int64)
        group[np.argsort(-counts, kind="stable")] = np.arange(len(counts)) * 3 // len(counts)
    return np.array(GROUPS)[group]
