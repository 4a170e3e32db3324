"""What the story says of the rivals of one λ, and of confidence against error.

In: the tables `rivals` and `measures`. Out: values that the template names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cobaye.tables.rival_names import NAMES

BEATS, WORSE = "beats one λ", "worse than one λ"
# Each measure of the table, in the unit of the story.
_FACTORS = {"loss": 1, "accuracy": 100, "tenth": 100}
# One λ for each class or group of classes, learned from the training images alone.
_PER_CLASS = ("val", "shrunk", "hypergradient", "groups")


def rivals(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any] | None:
    """Return what the story says of the rivals; None where the study has no such table."""
    if "rivals" not in tables:
        return None
    rows = tables["rivals"].set_index("rival")
    judged = rows[rows["loss_difference"].notna()].drop(index="one", errors="ignore")
    judged = judged.sort_values("loss_difference", kind="stable")
    named = {name: NAMES.get(name, name) for name in judged.index}
    lower, higher = (
        [named[name] for name in judged.index[judged["verdict"] == verdict]]
        for verdict in (BEATS, WORSE)
    )
    per_class = judged[judged.index.isin(_PER_CLASS) & (judged["verdict"] == BEATS)]
    return {
        "one": rows.loc["one"].to_dict(),
        "rows": [
            {
                "name": named[name],
                "chosen": row["chosen"],
                "verdict": row["verdict"],
                **{measure: _interval(row, measure) for measure in _FACTORS},
            }
            for name, row in judged.iterrows()
        ],
        "lower": lower,
        "higher": higher,
        "more_accurate": [named[name] for name in judged.index[judged["accuracy_low"] > 0]],
        "less_accurate": [named[name] for name in judged.index[judged["accuracy_high"] < 0]],
        "has_per_class": bool(judged.index.isin(_PER_CLASS).any()),
        "per_class": _interval(per_class.iloc[0], "loss") if len(per_class) else None,
        "temperature": (
            _interval(judged.loc["temperature"], "loss") if "temperature" in judged.index else None
        ),
    }


def _interval(row: pd.Series, measure: str) -> tuple[float, ...]:
    """Return a difference from one λ, and the ends of its interval."""
    ends = ("difference", "low", "high")
    return tuple(_FACTORS[measure] * row[f"{measure}_{end}"] for end in ends)


def confidence(tables: Mapping[str, pd.DataFrame], against: str) -> dict[str, Any] | None:
    """Return the standard deviations between classes, by measure, at the λ `against`.

    None where the study has no such table, or its outputs are no logits.
    """
    if "measures" not in tables:
        return None
    rows = tables["measures"]
    rows = rows[rows["weight_decay"] == against].set_index("measure")
    if "scaled_loss" not in rows.index or against == rows["best"].iloc[0]:
        return None
    columns = ["between_sd", "between_sd_low", "between_sd_high"]
    spread = {name: tuple(rows.loc[name, columns]) for name in rows.index}
    spread["error"] = tuple(100 * value for value in spread["error"])
    # From λ to the best: the rise from the best, the other way round.
    ends = ["rise", "rise_high", "rise_low"]
    change = {name: tuple(0 - rows.loc[name, ends]) for name in rows.index}
    change["error"] = tuple(100 * value for value in change["error"])
    loss, scaled = spread["loss"][0], spread["scaled_loss"][0]
    return {
        "against": against,
        "spread": spread,
        "change": change,
        "less": scaled < loss,
        "error_differs": spread["error"][1] > 0,
    }
