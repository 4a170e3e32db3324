"""The table of a grid, in words: names of hyperparameters and values, and trials by rank."""

from __future__ import annotations

import numpy as np
import pandas as pd

KEYS = ("model", "optimizer", "weight_decay", "seed")
NAMES = {"learning_rate": "learning rate", "batch_size": "batch size", "width": "hidden units"}
SHORT = {"learning_rate": "lr", "batch_size": "batch", "width": "h", "epochs": "epochs"}


def hyperparameters(table: pd.DataFrame) -> list[str]:
    """Return the columns of a grid's hyperparameters, in its order, the epochs last."""
    return [*table.columns[len(KEYS) : list(table.columns).index("epochs")], "epochs"]


def varied(table: pd.DataFrame) -> list[str]:
    """Return those hyperparameters that have more than one value."""
    columns = hyperparameters(table)
    return [column for column in columns if table[column].nunique(dropna=False) > 1]


def name(column: str) -> str:
    """Return the name of a hyperparameter on an axis."""
    head, _, place = column.rpartition("_")
    if place.isdigit():
        return f"units in hidden layer {place}" if head == "width" else f"{head} {place}"
    return NAMES.get(column, column.replace("_", " "))


def text(value: object) -> str:
    """Return a value of a hyperparameter as text for a label."""
    if pd.isna(value):
        return "–"
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def described(row: pd.Series, columns: list[str]) -> str:
    """Return a trial in words: ``lr 0.1, batch 8, h 100, epochs 50``."""
    parts = [f"{SHORT.get(column, name(column))} {text(row[column])}" for column in columns]
    widths = [text(row[c]) for c in columns if c.startswith("width_") and pd.notna(row[c])]
    if widths:
        rest = [p for p, c in zip(parts, columns, strict=True) if not c.startswith("width_")]
        parts = ["h " + " × ".join(widths), *rest]
    return ", ".join(parts)


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, best first; trials that diverged come last, the earliest at the end."""
    last = table["rank"].max()
    place = table["rank"].astype(float).fillna((0 if pd.isna(last) else int(last)) + 1)
    order = table.assign(_place=place, _late=-table["epoch"].astype(int))
    order = order.sort_values(["_place", "_late"], kind="stable")
    return order.drop(columns=["_place", "_late"])


def positions(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """Return each value's place on an axis of evenly spaced values, and the axis's labels."""
    known = sorted(values.dropna().unique())
    places = values.map({value: place for place, value in enumerate(known)})
    labels = [text(value) for value in known]
    if values.isna().any():
        places, labels = places.fillna(len(known)), [*labels, text(None)]
    return places.astype(float), labels
