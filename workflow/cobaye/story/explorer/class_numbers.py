"""What the explorer shows of each class, in numbers: lists by class and by λ, ready for JSON.

In: tables of a study. Missing numbers are None. Shares are from 0 to 1.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cobaye.storage.paths import SPLITS
from cobaye.tables import grid_ends, reading, rival_names

Tables = Mapping[str, pd.DataFrame]

_MOST_CONFUSED = 5
_LONGEST = 80  # letters of a name
# The ways of the table `class-gains`, in words.
_WAYS = {
    "honest": "lowest on val",
    "shrunk": "lowest on val, shrunk",
    "naive": "lowest on test (flatters)",
}


def shown_names(names: Iterable[object]) -> list[str]:
    """Return the names of classes as the page shows them: one line, none empty, none twice."""
    shown = []
    for number, name in enumerate(names):
        spaced = "".join(" " if char.isspace() else char for char in str(name))
        visible = "".join(char for char in spaced if unicodedata.category(char)[0] != "C")
        shown.append(" ".join(visible.split())[:_LONGEST].rstrip() or f"#{number}")
    count = Counter(shown)
    return [name if count[name] == 1 else f"{name} #{number}" for number, name in enumerate(shown)]


def as_written(value: object, labels: Sequence[str]) -> str:
    """Return a λ as the config wrote it; one between its λ has four digits at most."""
    number = float(str(value))
    same = [label for label in labels if float(label) == number]
    return same[0] if same else grid_ends.label(number)


def places(labels: Sequence[str]) -> list[float]:
    """Return the place of each rising λ on a logarithmic axis; 0 stands left of the others."""
    exponents = [math.log10(float(label)) for label in labels if float(label) > 0]
    if len(exponents) < len(labels):
        span = exponents[-1] - exponents[0] if exponents else 0
        exponents.insert(0, (exponents or [0])[0] - max(0.12 * span, 0.5))
    return [round(place, 4) for place in exponents]


def configurations(tables: Tables, classes: int) -> list[dict[str, Any]]:
    """Return what the page shows of each configuration with a run that stayed finite."""
    shown = []
    for _, test in tables["class-tests"].iterrows():
        own = {name: reading.of_configuration(table, test) for name, table in tables.items()}
        shown.append(_configuration(test, own, classes))
    return shown


def _configuration(test: pd.Series, tables: Tables, classes: int) -> dict[str, Any]:
    effects, best = tables["class-effects"], test["best"]
    labels = sorted(effects["weight_decay"].unique(), key=float)
    losses = _losses(tables["classes"], labels, classes)
    shrunk = tables["shrunk-curves"].query("split == 'test'")
    curve = {
        "raw": _grid(effects, "loss", labels, classes),
        "raw_low": _grid(effects, "loss_low", labels, classes),
        "raw_high": _grid(effects, "loss_high", labels, classes),
        "shrunk": _grid(shrunk, "shrunk", labels, classes),
        "shrunk_low": _grid(shrunk, "low", labels, classes),
        "shrunk_high": _grid(shrunk, "high", labels, classes),
    }
    chosen = tables["best-lambda"].iloc[0]
    return {
        "model": test["model"],
        "optimizer": test["optimizer"],
        "labels": labels,
        "places": places(labels),
        "best": labels.index(best),
        "share": f"{100 * test['level']:.3g} %",
        "unit": _unit(tables["runs"]),
        "loss": float(chosen["test_loss"]),
        "accuracy": float(chosen["test_accuracy"]),
        "losses": {split: grid.tolist() for split, grid in losses.items()},
        "mean": np.nanmean(losses["test"], axis=0).tolist(),
        "curve": {name: grid.tolist() for name, grid in curve.items()},
        "classes": _classes(tables, best, classes),
        "ways": _ways(tables, classes, labels),
        **_confused(tables["confusion"], best, classes),
        "rivals": _rivals(tables),
    }


def _unit(runs: pd.DataFrame) -> str:
    """Return the unit of losses, as it stands behind a number; squared errors have none."""
    given = runs.get("loss_name", pd.Series(["cross-entropy"]))
    return " nats" if (given == "cross-entropy").all() else ""


def _grid(table: pd.DataFrame, column: str, labels: Sequence[str], classes: int) -> np.ndarray:
    """Return a column by class and λ, (K, M), NaN where the table has no row."""
    wide = table.pivot_table(index="class", columns="weight_decay", values=column, dropna=False)
    return wide.reindex(index=range(classes), columns=labels).to_numpy(float)


def _losses(table: pd.DataFrame, labels: Sequence[str], classes: int) -> dict[str, np.ndarray]:
    """Return the losses of each split that was evaluated, mean over seeds."""
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    return {
        split: _grid(table[table["split"] == split], "loss", labels, classes) for split in splits
    }


def _column(table: pd.DataFrame, column: str, classes: int) -> list[Any]:
    return table.groupby("class")[column].first().reindex(range(classes)).tolist()


def _classes(tables: Tables, best: str, classes: int) -> dict[str, list[Any]]:
    """Return a list per column of the page's table of classes."""
    rows, ranked = tables["classes"], tables["helped-harmed"]
    at_best = rows[rows["weight_decay"] == best].groupby(["split", "class"])
    means = at_best[["n", "loss", "accuracy"]].mean()
    test = means.loc["test"].reindex(range(classes))
    train = means.loc["train"] if "train" in means.index.levels[0] else means.loc["test"]
    gains = tables["class-gains"]
    return {
        "size": train["n"].reindex(range(classes)).tolist(),
        "images": test["n"].tolist(),
        "loss": test["loss"].tolist(),
        "accuracy": test["accuracy"].tolist(),
        "own": [_text(label) for label in _column(gains, "shrunk", classes)],
        "gain": _column(gains, "shrunk_gain", classes),
        "effect": [None if _no(value) else -value for value in _column(ranked, "change", classes)],
        "helped": _column(ranked, "helped", classes),
        "surely": _column(ranked, "surely", classes),
        "against": [_text(label) for label in _column(ranked, "against", classes)],
        "elsewhere": _column(ranked, "own_surely", classes),
    }


def _no(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _text(label: Any) -> str | None:
    return None if _no(label) else str(label)


def _ways(tables: Tables, classes: int, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return each way of choosing a class's λ: its λ, and its gain where that was judged.

    The ways `val` and `shrunk` choose what the table `class-gains` calls honest and shrunk.
    """
    gains, ways = tables["class-gains"], []
    for way, name in _WAYS.items():
        texts = [_text(label) for label in _column(gains, way, classes)]
        ends = [_column(gains, f"{way}_{end}", classes) for end in ("gain", "low", "high")]
        ways.append({"name": name, "lambdas": texts, "gains": list(zip(*ends, strict=True))})
    if "per-class-lambda" in tables:
        others = tables["per-class-lambda"].query("choice not in ('val', 'shrunk')")
        for way, rows in others.groupby("choice", sort=False):
            name = rival_names.NAMES.get(way, way).removeprefix("λ per class: ")
            rows = rows.assign(
                weight_decay=[as_written(value, labels) for value in rows["weight_decay"]]
            )
            ways.append({"name": name, "lambdas": _column(rows, "weight_decay", classes)})
    return ways


def _confused(table: pd.DataFrame, best: str, classes: int) -> dict[str, list[Any]]:
    """Return the classes that most images of each are taken for, and how many were tested."""
    at_best = table[table["weight_decay"] == best]
    wrong = at_best[at_best["label"] != at_best["predicted"]]
    wrong = wrong.sort_values(["n", "predicted"], ascending=[False, True], kind="stable")
    others: list[list[tuple[int, int]]] = [[] for _ in range(classes)]
    for label, predicted, n in zip(wrong["label"], wrong["predicted"], wrong["n"], strict=True):
        if len(others[label]) < _MOST_CONFUSED:
            others[label].append((int(predicted), int(n)))
    tested = at_best.groupby("label")["n"].sum().reindex(range(classes), fill_value=0)
    return {"confused": others, "tested": tested.tolist()}


def _rivals(tables: Tables) -> list[dict[str, Any]]:
    """Return the rivals of one λ that stayed finite, the lowest loss first."""
    if "rivals" not in tables:
        return []
    rows = tables["rivals"]
    rows = rows[rows["loss_difference"].notna() & (rows["rival"] != "one")]
    return [
        {
            "name": rival_names.NAMES.get(row["rival"], row["rival"]),
            "gain": [-row[f"loss_{end}"] for end in ("difference", "high", "low")],
            "verdict": row["verdict"],
        }
        for _, row in rows.sort_values("loss_difference", kind="stable").iterrows()
    ]
