"""Each class's λ predicted from its size and margin, by the curves of other classes alone.

They are those of the analysis `how-many`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.class_decay.ways import Choice, Given
from cobaye.class_decay.ways.clustered import grouped

TABLES = ("grouped-lambda",)
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """None."""


def choose(given: Given, options: Options) -> Choice:
    """Return the λ of the table `grouped-lambda`."""
    return Choice(grouped(given, "predicted"))
