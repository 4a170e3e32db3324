"""history.csv: one row per epoch, read by schedules and stopping rules.

These see the committed rows only, so that a resumed run decides as an undisturbed one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

# val_loss and val_accuracy are empty in runs that do not look at val while they train.
COLUMNS = (
    "epoch",
    "loss",
    "penalty",
    "objective",
    "accuracy",
    "learning_rate",
    "weight_l1",
    "weight_l2",
    "val_loss",
    "val_accuracy",
)
Row = Mapping[str, float]


def line(row: Row) -> str:
    """Return a row as a line of the file; a column that is missing or NaN is empty."""
    return ",".join(_text(row.get(column, math.nan)) for column in COLUMNS)


def parsed(lines: Sequence[str]) -> list[Row]:
    """Return the rows of such lines, exactly as they were; empty columns are NaN."""
    return [
        {
            column: float(text) if text else math.nan
            for column, text in zip(COLUMNS, each.split(","), strict=True)
        }
        for each in lines
    ]


def improves(quantity: str, value: float, best: float | None, threshold: float) -> bool:
    """Tell whether a value is better than the best so far (None: no value yet).

    A loss must fall, an accuracy rise, by more than the threshold, as in torch's ReduceLROnPlateau
    with ``abs``. NaN is never better.
    """
    if best is None:
        return not math.isnan(value)
    if quantity.endswith("loss"):
        return value < best - threshold
    return value > best + threshold


def _text(value: float) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else repr(value)
