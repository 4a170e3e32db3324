"""A value that a study is expected to find: where its tables have it, and what it should be."""

from __future__ import annotations

import dataclasses
from typing import Literal

Statistic = Literal["mean", "min", "max", "sum", "last", "count", "correlation"]
Bound = Literal["at least", "at most"]


@dataclasses.dataclass(frozen=True)
class ExpectedValue:
    """An entry of a study's `expected`."""

    #: A table of the study: that of `tables/<table>.csv`, or `best`.
    table: str
    #: A column of the table. Texts such as `3.162e-3` count as numbers.
    column: str
    #: The value that was reported.
    value: float
    #: Largest difference that counts as agreement, at least 0.
    tolerance: float
    #: Where the value stands, such as `S2, table 6.1`, or which run of ours gave it.
    source: str
    #: Rows that count, column → value: `{optimizer: sgd, split: test}`. By default all.
    where: dict[str, str | int | float | bool] = dataclasses.field(default_factory=dict)
    #: What is taken of the column over these rows. `last`: the value of the last one. `count`: the
    #: number of rows. `correlation`: Pearson's with the column `against`.
    statistic: Statistic = "mean"
    #: The other column of a correlation.
    against: str | None = None
    #: The value is a bound, which the study keeps up to the tolerance. By default it is no bound.
    bound: Bound | None = None

    def __post_init__(self):
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be at least 0, not {self.tolerance}")
        if (self.statistic == "correlation") != (self.against is not None):
            raise ValueError("against: a column, for statistic: correlation, and for no other")

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return [self.column, *([self.against] if self.against else []), *self.where]

    @property
    def quantity(self) -> str:
        """What it is a value of, in words."""
        said = self.column if self.statistic == "mean" else f"{self.statistic} of {self.column}"
        told = f" with {self.against}" if self.against else ""
        rows = ", ".join(f"{column} = {value}" for column, value in self.where.items())
        return f"{self.table}: {said}{told}{f' where {rows}' if rows else ''}"
