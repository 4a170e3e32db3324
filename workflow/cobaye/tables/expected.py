"""What a study found beside the values that its config expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cobaye import recipes
from cobaye.errors import nearest
from cobaye.recipes.expected_value import ExpectedValue
from cobaye.storage import table_names
from cobaye.storage.jobs import Job
from cobaye.tables import reading
from cobaye.tables.writing import write_with_page

NOT_THERE = "not there"
# Of rounding, in the numbers of the config and in a difference of two.
ROUNDING = 1e-9


def compare_expected(job: Job) -> Path:
    """Write expected.csv, what a study found of what it expects, and its page; return the manifest.

    job.recipe: {"expected": plain `ExpectedValue`s}. The manifest has lines of text: how many
    values are as expected, and a warning for each other one.
    """
    values = [recipes.parse(ExpectedValue, each) for each in job.recipe["expected"]]
    frames = {table: _read(job, table) for table in dict.fromkeys(each.table for each in values)}
    table = comparison(values, frames)
    entries = write_with_page(job, "expected", {"expected": table})
    return job.publish(entries, {"summary": summary(table)})


def _read(job: Job, table: str) -> pd.DataFrame:
    study = job.identity["study"]
    manifest = job.read(*table_names.covering(table, study))
    path = job.root / table_names.place(table, study)
    return reading.read_file(manifest.check(path.parent, path.name))


def comparison(values: Sequence[ExpectedValue], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per value, in their order.

    Columns: source; quantity; reported; bound (empty: none); obtained (NaN if it is not there);
    difference, obtained less reported; tolerance; within: yes, no or `NOT_THERE`; missing: what is
    not there.
    """
    rows = []
    for value in values:
        obtained, missing = _obtained(value, tables[value.table])
        difference = obtained - value.value
        rows.append(
            {
                "source": value.source,
                "quantity": value.quantity,
                "reported": value.value,
                "bound": value.bound,
                "obtained": obtained,
                "difference": difference,
                "tolerance": value.tolerance,
                "within": NOT_THERE if missing else _within(value, difference),
                "missing": missing,
            }
        )
    return pd.DataFrame(rows)


def _within(value: ExpectedValue, difference: float) -> str:
    beyond = {"at least": -difference, "at most": difference}.get(value.bound, abs(difference))
    return "yes" if beyond <= value.tolerance + ROUNDING * max(1, abs(value.value)) else "no"


def _obtained(value: ExpectedValue, table: pd.DataFrame) -> tuple[float, str | None]:
    """Return what a table has of a value, and what is missing, if anything is."""
    for column in value.columns:
        if column not in table:
            return np.nan, f"no column {column!r}: {nearest(column, table.columns)}"
    rows = table
    for column, wanted in value.where.items():
        rows = rows[_equal(rows[column], wanted)]
    if value.statistic == "count":
        return float(len(rows)), None
    if rows.empty:
        return np.nan, "no such row"
    numbers = _numbers(rows[value.column])
    if value.statistic == "correlation":
        found = _correlation(numbers, _numbers(rows[value.against]))
    elif value.statistic == "last":
        found = numbers.iloc[-1]
    else:
        found = numbers.agg(value.statistic, skipna=False)
    return (float(found), None) if np.isfinite(found) else (np.nan, f"no number, but {found}")


def _numbers(column: pd.Series) -> pd.Series:
    """Return numbers, or texts of numbers such as λ, as floats; NaN for all else."""
    return pd.to_numeric(column, errors="coerce").astype(float)


def _correlation(first: pd.Series, second: pd.Series) -> float:
    constant = first.nunique() < 2 or second.nunique() < 2
    return np.nan if constant else np.corrcoef(first, second)[0, 1]


def _equal(column: pd.Series, wanted: Any) -> pd.Series:
    """Tell which rows have a value: numbers up to rounding, also of texts such as λ; else texts."""
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if isinstance(wanted, bool) or not (is_number or isinstance(wanted, int | float)):
        return column.astype(str) == str(wanted)
    number = _numbers(pd.Series([wanted])).iloc[0]
    return pd.Series(np.isclose(_numbers(column), number, rtol=ROUNDING, atol=0), column.index)


def summary(table: pd.DataFrame) -> list[str]:
    """Return how many values are as expected, and a warning for each other one, as texts."""
    agree = int((table["within"] == "yes").sum())
    lines = [f"{agree} of {len(table)} expected values are within their tolerance."]
    for row in table[table["within"] != "yes"].to_dict("records"):
        found = f"{row['obtained']:.5g}"
        if row["within"] == NOT_THERE:
            found = f"{NOT_THERE} ({row['missing']})"
        bound = "" if pd.isna(row["bound"]) else f"{row['bound']} "
        expected = f"{bound}{row['reported']:.5g} ± {row['tolerance']:.2g}"
        lines.append(f"Warning: {row['quantity']}: {found}, expected {expected} ({row['source']})")
    return lines
