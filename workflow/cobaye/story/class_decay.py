"""What the story says of a λ for each class: the values, from the table `rivals`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

TABLE = "rivals"

_WAYS = {
    "val": "each class's lowest validation loss",
    "shrunk": "its shrunk validation curve",
    "hypergradient": "the cross-fitted hypergradient",
}
# Each measure of the table, in the unit of the story.
_FACTORS = {"loss": 1, "accuracy": 100, "tenth": 100}


def values(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any] | None:
    """Return what the story says of one configuration; None where the study has no such table."""
    if TABLE not in tables:
        return None
    rows = tables[TABLE].set_index("rival")
    trained = rows[rows.index.isin(_WAYS)]
    if trained.empty:
        return None
    ways = [
        {
            "by": _WAYS[way],
            "verdict": row["verdict"],
            **{measure: _interval(row, measure) for measure in _FACTORS},
        }
        for way, row in trained[trained["loss_difference"].notna()].iterrows()
    ]
    return {
        "ways": ways,
        "single": rows.loc["one"].to_dict(),
        "wins": [way["by"] for way in ways if way["verdict"] == "beats one λ"],
        "loses": [way["by"] for way in ways if way["verdict"] == "worse than one λ"],
    }


def _interval(row: pd.Series, measure: str) -> tuple[float, ...]:
    """Return a difference from the best single λ, and the ends of its interval."""
    ends = ("difference", "low", "high")
    return tuple(_FACTORS[measure] * row[f"{measure}_{end}"] for end in ends)
