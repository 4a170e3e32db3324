"""Each class's λ of lowest validation loss, not shrunk."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.class_decay.ways import Choice, Given, by_label

TABLES = ("best-lambda-per-class",)
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """None."""


def choose(given: Given, options: Options) -> Choice:
    """Return the λ of the table `best-lambda-per-class`."""
    table = given.tables["best-lambda-per-class"]
    return Choice(by_label(given, table.set_index("class")["weight_decay"]))
