"""Each class's λ predicted from traits of the class, by the curves of other classes alone.

They are those of the analysis `how-many`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cobaye.class_decay.ways import Choice, Given
from cobaye.class_decay.ways.clustered import grouped

TABLES = ("grouped-lambda",)
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """The traits."""

    #: Trait beside the number of training images: the distance to the nearest class in what the
    #: last layer reads, or the margin on training images at the smallest λ.
    by: Literal["separation", "margin"] = "separation"


def choose(given: Given, options: Options) -> Choice:
    """Return the λ of the table `grouped-lambda`."""
    return Choice(grouped(given, options.by))
