"""The names of a study's tables, their files, and the stage that makes each; no pandas.

A name is unique in a study, whether `tabulate` makes the table or an analysis, which states its
tables in ``TABLES``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from cobaye import kinds
from cobaye.errors import ConfigError, nearest
from cobaye.storage import paths

# The manifest of `tabulate` is tables.json; that of the analysis `classes`, classes.json.
TABULATE = "tables"
# The manifest of `tabulate_derived` is derived.json.
DERIVED = "derived"

# What describe_models writes beside those of tabulate.
DESCRIPTIONS = ("layers.csv", "tensors.csv")
# Tables that are made by a stage of their own: name → stage.
ALONE = {"layers": "describe_models", "tensors": "describe_models", "best": "evaluate_best"}
# The table that compares a study with what its config expects.
EXPECTED = "expected.csv"

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
    "classes-while-training": "classes-while-training.parquet",
}
# The tables of a study's derived runs, apart from the tables that these take a value from.
DERIVED_FILES = {
    "derived": "derived.csv",
    "derived-history": "derived-history.csv",
    "derived-metrics": "derived-metrics.csv",
}


# The tables that every story reads, and those that it reads where the study has the analysis of
# that name.
STORY_TOO = ("measures", "rivals")
STORY = (
    *("runs", "best-lambda", "class-inference", "class-tests", "null-best-lambda", "compromise"),
    *("class-effects", "class-gains", "helped-harmed", "worst-classes", "worst-pairs"),
)

# The tables that every explorer reads, and those that it reads where the study has their analysis.
EXPLORER_TOO = {"per-class-lambda": "per-class", "rivals": "rivals"}
EXPLORER = (
    *("best-lambda", "classes", "confusion", "class-effects", "class-gains", "class-tests"),
    *("helped-harmed", "runs", "shrunk-curves"),
)


def made_by(maker: str) -> dict[str, str]:
    """Return the tables of `tabulate`, of `tabulate_derived` or of an analysis: name → file."""
    tables = {TABULATE: FILES, DERIVED: DERIVED_FILES}
    return tables[maker] if maker in tables else kinds.constant("analyses", maker, "TABLES")


def read_by(family: str, kind: str) -> list[str]:
    """Return the tables that a kind of figure or of way needs (its ``TABLES``).

    Raises ConfigError, naming the kind's file, for a table that nobody makes.
    """
    for constant in ("TABLES", "OPTIONAL_TABLES"):
        for table in kinds.constant(family, kind, constant, ()):
            if table not in makers():
                problem = f"{constant}: no table {table!r}: {nearest(table, makers())}"
                raise ConfigError(f"{kinds.path(family, kind)}: {problem}")
    return list(kinds.constant(family, kind, "TABLES"))


@functools.cache
def makers() -> dict[str, str]:
    """Return the maker of each table: name → ``tables``, ``derived`` or the name of an analysis.

    Raises ConfigError, naming the analysis's file, for a table that another one makes, and for
    ``COLUMNS`` of other tables than those it makes.
    """
    maker_of: dict[str, str] = {}
    analyses = kinds.with_variants("analyses")
    for maker in (TABULATE, DERIVED, *analyses):
        tables = made_by(maker)
        for table in tables:
            if table in maker_of:
                file = kinds.path("analyses", maker)
                raise ConfigError(f"{file}: TABLES: {table!r} is a table of {maker_of[table]!r}")
            maker_of[table] = maker
        if maker in analyses:
            columns = kinds.constant("analyses", maker, "COLUMNS", tables)
            for table in sorted({*columns} ^ {*tables}):
                file = kinds.path("analyses", maker)
                raise ConfigError(f"{file}: COLUMNS and TABLES: {table!r} is in one of them only")
    return maker_of


def lacking(figure_kind: str, analyses: Iterable[str]) -> str | None:
    """Return an analysis that a kind of figure needs and that `analyses` lacks; None if none."""
    needed = read_by("figures", figure_kind)
    return min({makers()[table] for table in needed} - {TABULATE, *analyses}, default=None)


def stage(maker: str) -> str:
    """Return the stage that makes tables, by its name in their manifest."""
    return "tabulate" if maker in (TABULATE, DERIVED) else "analyse"


def file(table: str) -> str:
    """Return the file of a table."""
    return made_by(makers()[table])[table]


def manifest(table: str) -> str:
    """Return the file name of the manifest that covers a table."""
    return f"{makers()[table]}.json"


def covering(table: str, study: str) -> tuple[str, dict[str, str]]:
    """Return the stage and identity of the manifest that covers any table of a study."""
    if table in ALONE:
        return ALONE[table], {"study": study}
    maker = makers()[table]
    return stage(maker), {"study": study, "maker": maker}


def place(table: str, study: str) -> Path:
    """Return the path of any table of a study."""
    name = f"{table}.csv" if table in ALONE else file(table)
    return Path(paths.manifest(*covering(table, study))).with_name(name)
