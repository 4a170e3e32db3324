"""The table of a study's grid: a row per configuration, and which is best on validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

KEYS = ["model", "optimizer", "weight_decay", "seed"]
RESULTS = [
    "epochs",
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "lowest_val_loss_epoch",
    "stopped",
    "finite",
    "rank",
]
ALL_EPOCHS = "all epochs"


def table(raw: Mapping[str, pd.DataFrame], grid: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return one row per configuration: (model, optimizer, λ, seed, epochs).

    raw: the tables runs, history and metrics. grid: {"models": entry → column → value,
    "optimizers": likewise, "epochs": optimizer → numbers of epochs}; None gives no rows.

    Columns: the keys; those of `grid`; epochs, the budget; epoch, the last that was trained within
    it; train_loss and train_accuracy, means while that epoch changed the weights; val_loss and
    val_accuracy after it; the epoch of the lowest val_loss up to it; stopped and finite, as of a
    training with this budget; rank, 1 the best on validation, none for what is not finite.
    """
    if grid is None:
        return pd.DataFrame(columns=[*KEYS, *RESULTS])
    history = dict(iter(raw["history"].groupby(KEYS, sort=False)))
    on_val = raw["metrics"][raw["metrics"]["split"] == "val"]
    val = dict(iter(on_val.groupby(KEYS, sort=False)))
    rows = []
    for run in raw["runs"].to_dict("records"):
        key = tuple(run[name] for name in KEYS)
        varied = {**grid["models"][run["model"]], **grid["optimizers"][run["optimizer"]]}
        for epochs in grid["epochs"][run["optimizer"]]:
            read = _read(run, history[key], val[key], epochs)
            rows.append({**{name: run[name] for name in KEYS}, **varied, **read})
    found = whole_numbers(pd.DataFrame(rows))
    return found.assign(rank=rank(found))


def whole_numbers(found: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which whole numbers stay such although other rows have none there."""
    measured = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    whole = [
        column
        for column in found.columns.difference(measured)
        if found[column].dtype.kind == "f" and (found[column].dropna() % 1 == 0).all()
    ]
    return found.astype(dict.fromkeys(whole, "Int64"))


def _read(
    run: Mapping[str, Any], history: pd.DataFrame, val: pd.DataFrame, epochs: int
) -> dict[str, Any]:
    """Return what a training for so many epochs gives, read off one for as many or more."""
    epoch = min(epochs, run["epochs"])
    whole = epoch < run["epochs"]
    while_training = history.loc[history["epoch"] == epoch].iloc[-1]
    seen = val[val["epoch"] <= epoch]
    after = seen.loc[seen["epoch"] == epoch].iloc[0]
    lowest = seen["loss"].idxmin() if seen["loss"].notna().any() else None
    return {
        "epochs": epochs,
        "epoch": epoch,
        "train_loss": while_training["loss"],
        "train_accuracy": while_training["accuracy"],
        "val_loss": after["loss"],
        "val_accuracy": after["accuracy"],
        "lowest_val_loss_epoch": None if lowest is None else int(seen.at[lowest, "epoch"]),
        "stopped": ALL_EPOCHS if whole else run["stopped"],
        "finite": True if whole else bool(run["finite"]),
    }


def rank(found: pd.DataFrame) -> pd.Series:
    """Return each configuration's place, 1 for the highest validation accuracy.

    Ties go to the lower validation loss, then to the order of the config. Only what is finite has a
    place.
    """
    order = found[found["finite"].astype(bool)]
    order = order.sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    places = pd.Series(range(1, len(order) + 1), index=order.index, dtype="Int64")
    return places.reindex(found.index)
