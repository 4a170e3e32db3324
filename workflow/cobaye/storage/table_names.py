"""A study's tables, their files, and the stage that makes each; for the rules as well: no pandas.

Tables of one study have names of their own, whoever makes them: `tabulate`, or an analysis, which
states its own in ``TABLES``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from cobaye import kinds

# The manifest of `tabulate` is tables.json; that of the analysis `classes`, classes.json.
TABULATE = "tables"
# So that of `tabulate_derived`.
DERIVED = "derived"

# What describe_models writes beside those of tabulate.
DESCRIPTIONS = ("layers.csv", "tensors.csv")

FILES = {
    "runs": "runs.csv",
    "history": "history.csv",
    "metrics": "metrics.csv",
    "classes": "classes.csv",
    "baseline": "baseline.csv",
    "confusion": "confusion.csv",
    "best-lambda": "best-lambda.csv",
    "best-lambda-per-class": "best-lambda-per-class.csv",
    "optimality-gap": "optimality-gap.csv",
    "grid": "grid.csv",
}
# The tables of a study's derived runs, which never stand in those that they take a value from.
DERIVED_FILES = {
    "derived": "derived.csv",
    "derived-history": "derived-history.csv",
    "derived-metrics": "derived-metrics.csv",
}


# The tables that every story reads; those of `per-class` beside them where a study has them.
STORY = (
    *("runs", "best-lambda", "class-inference", "class-tests", "null-best-lambda", "compromise"),
    *("class-effects", "helped-harmed", "worst-classes", "worst-pairs"),
)


def made_by(maker: str) -> dict[str, str]:
    """Return the tables of `tabulate`, of `tabulate_derived` or of an analysis: name → file."""
    own = {TABULATE: FILES, DERIVED: DERIVED_FILES}
    return own[maker] if maker in own else kinds.constant("analyses", maker, "TABLES")


@functools.cache
def makers() -> dict[str, str]:
    """Return who makes each table: name → ``tables`` or the name of an analysis."""
    everyone = (TABULATE, DERIVED, *kinds.names("analyses"))
    return {table: maker for maker in everyone for table in made_by(maker)}


def lacking(figure_kind: str, analyses: Iterable[str]) -> str | None:
    """Return an analysis whose tables a kind of figure needs, and that is not among these."""
    needed = kinds.constant("figures", figure_kind, "TABLES")
    return min({makers()[table] for table in needed} - {TABULATE, *analyses}, default=None)


def stage(maker: str) -> str:
    """Return the stage that makes tables, as it stands in their manifest."""
    return "tabulate" if maker in (TABULATE, DERIVED) else "analyse"


def file(table: str) -> str:
    """Return the file of a table."""
    return made_by(makers()[table])[table]


def manifest(table: str) -> str:
    """Return the file name of the manifest that covers a table."""
    return f"{makers()[table]}.json"
