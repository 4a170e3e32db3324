"""The key `expected` of a study file, checked as far as tables are known before they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from cobaye import kinds
from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Run, Study
from cobaye.storage import table_names


def refuse(study: Study, path: Path) -> None:
    """Refuse an expected value of a table, column, model or optimizer that there is not.

    A λ or seed may be missing: a value without rows is one that is not there.
    """
    for number, each in enumerate(study.expected):
        where = f"expected[{number}]"
        _refuse_table(each.table, study, path, f"{where}.table")
        maker = table_names.covering(each.table, study.name)[1].get("maker")
        if maker in study.analyses:
            known = _columns(maker, each.table)
            for column in each.columns if known else ():
                schema.refuse_unknown(column, known, path, where, f"column of {each.table}")
        for key, names in (("model", study.models), ("optimizer", study.optimizers)):
            if maker == table_names.TABULATE and key in each.where:
                schema.refuse_unknown(each.where[key], names, path, f"{where}.where.{key}", key)


def _refuse_table(table: str, study: Study, path: Path, where: str) -> None:
    every = [*table_names.makers(), *table_names.ALONE]
    schema.refuse_unknown(table, every, path, where, "table")
    if table not in (made := list(_tables(study))):
        maker = table_names.makers().get(table)
        needs = f", which needs {maker!r} in analyses" if maker in kinds.names("analyses") else ""
        raise ConfigError(
            f"{path}: {where}: the study does not make {table!r}{needs}: known: {', '.join(made)}"
        )


def _tables(study: Study) -> Iterable[str]:
    """Return the tables that a study makes."""
    makers = {table_names.TABULATE, *study.analyses}
    makers |= {table_names.DERIVED} if study.derived else set()
    yield from (table for table, maker in table_names.makers().items() if maker in makers)
    yield "best"
    if not study.backbones:
        yield from ("layers", "tensors")


def _columns(analysis: str, table: str) -> list[str]:
    """Return the columns of a table of an analysis; none where the analysis does not state them."""
    stated = kinds.constant("analyses", analysis, "COLUMNS", {}).get(table, "").split()
    if not stated:
        return []
    several = len(kinds.constant("analyses", analysis, "STATES")) > 1
    run = [field.name for field in dataclasses.fields(Run)]
    return [*run, *(["state"] if several else []), *stated]
