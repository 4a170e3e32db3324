"""The table of a study's grid: a row per trial, ranked on validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cobaye.tables.reading import KEYS
from cobaye.tables.reported_epoch import best_on_val

RESULTS = [
    "epochs",
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "lowest_val_loss_epoch",
    "lowest_val_loss",
    "accuracy_at_lowest_val_loss",
    "stopped",
    "finite",
    "rank",
]
ALL_EPOCHS = "all epochs"


def table(raw: Mapping[str, pd.DataFrame], grid: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return one row per trial: a run (model, optimizer, λ, seed) with a budget of epochs.

    raw: the tables runs, history and metrics. grid: {"models": model → column → value,
    "optimizers": optimizer → column → value, "epochs": optimizer → budgets}; None gives no rows.

    Columns: the keys; those of `grid`; epochs, the budget; epoch, the one reported: the last one
    trained within the budget, or the best on validation where the study chooses it; train_loss and
    train_accuracy, means over that epoch while it changed the weights; val_loss and val_accuracy
    after it; lowest_val_loss_epoch within the budget, its loss and its accuracy: what early
    stopping would report; stopped and finite, as of a training with this budget; rank, 1 the best
    on validation, missing where the trial is not finite.
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
    trials = whole_numbers(pd.DataFrame(rows))
    return trials.assign(rank=rank(trials))


def whole_numbers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the table with columns of whole numbers as integers; values may be missing."""
    measured = {name for name in RESULTS if name.endswith(("loss", "accuracy"))}
    whole = [
        column
        for column in trials.columns.difference(measured)
        if trials[column].dtype.kind == "f" and (trials[column].dropna() % 1 == 0).all()
    ]
    return trials.astype(dict.fromkeys(whole, "Int64"))


def _read(
    run: Mapping[str, Any], history: pd.DataFrame, val: pd.DataFrame, epochs: int
) -> dict[str, Any]:
    """Return the results of a training for `epochs`, from one of as many epochs or more."""
    last = min(epochs, run["epochs"])
    whole = last < run["epochs"]
    finite = True if whole else bool(run["finite"])
    after = val[val["epoch"] <= last].set_index("epoch")
    lowest = best_on_val(after["loss"].to_dict())
    chosen = "epoch" in run and finite and lowest is not None
    epoch = lowest if chosen else last
    # A solver's history counts passes: its last row is that of its one epoch.
    within = history[history["epoch"] <= epoch] if whole or chosen else history
    while_training = within.iloc[-1]
    return {
        "epochs": epochs,
        "epoch": epoch,
        "train_loss": while_training["loss"],
        "train_accuracy": while_training["accuracy"],
        "val_loss": after.at[epoch, "loss"],
        "val_accuracy": after.at[epoch, "accuracy"],
        "lowest_val_loss_epoch": lowest,
        "lowest_val_loss": None if lowest is None else after.at[lowest, "loss"],
        "accuracy_at_lowest_val_loss": None if lowest is None else after.at[lowest, "accuracy"],
        "stopped": ALL_EPOCHS if whole else run["stopped"],
        "finite": finite,
    }


def rank(trials: pd.DataFrame) -> pd.Series:
    """Return each trial's place, 1 for the highest validation accuracy.

    Ties go to the lower validation loss, then to the order of the config. A trial that is not
    finite has no place.
    """
    order = trials[trials["finite"].astype(bool)]
    order = order.sort_values(["val_accuracy", "val_loss"], ascending=[False, True], kind="stable")
    places = pd.Series(range(1, len(order) + 1), index=order.index, dtype="Int64")
    return places.reindex(trials.index)
