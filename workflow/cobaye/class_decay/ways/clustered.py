"""One λ for each of G clusters of classes, from their shrunk validation curves.

The clusters and their λ are those that the analysis `how-many` finds from curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cobaye.class_decay.ways import Choice, Given, by_label
from cobaye.errors import DataError

TABLES = ("grouped-lambda",)
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """The clusters."""

    #: Number of clusters: a power of two below the number of classes.
    groups: int = 4

    def __post_init__(self):
        if self.groups < 2:
            raise ValueError(f"groups: {self.groups}: at least 2")


def choose(given: Given, options: Options) -> Choice:
    """Return the λ of each class's cluster."""
    return Choice(grouped(given, "curves", options.groups), parameters=options.groups)


def grouped(given: Given, grouping: str, groups: int | None = None) -> np.ndarray:
    """Return λ (K,) of a grouping of the table `grouped-lambda`; groups: None for any number.

    Raises DataError if the table has no such grouping.
    """
    table = given.tables["grouped-lambda"]
    table = table[table["grouping"] == grouping]
    rows = table if groups is None else table[table["groups"] == groups]
    if rows.empty:
        allowed = ", ".join(f"{number}" for number in table["groups"].unique()) or "none"
        raise DataError(f"{grouping}: {groups or 'any'} groups: the table has {allowed}")
    return by_label(given, rows.set_index("class")["weight_decay"])
