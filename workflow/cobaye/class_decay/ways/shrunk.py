"""Each class's λ at the lowest point of its validation curve, shrunk towards the other classes.

The curves are those of the analysis `classes` (`statistics.shrinkage`), a joint model of all λ.
"""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.class_decay.ways import Choice, Given, by_label
from cobaye.tables import tabulate

TABLES = ("shrunk-curves",)
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """None."""


def choose(given: Given, options: Options) -> Choice:
    """Return the lowest point of each posterior mean curve; ties go to the larger λ."""
    table = given.tables["shrunk-curves"]
    val = table[table["split"] == "val"].dropna(subset="shrunk")
    chosen = tabulate.lowest(val, ["class"], "shrunk")
    return Choice(by_label(given, chosen.set_index("class")["weight_decay"]))
