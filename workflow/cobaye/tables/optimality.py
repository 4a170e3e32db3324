"""The gap between runs and the optimum of their objective, where a study has `exact` too."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from cobaye.storage import manifests

RUN = ["model", "weight_decay", "seed"]
COLUMNS = [
    "model",
    "optimizer",
    "weight_decay",
    "seed",
    "exact",
    "objective",
    "optimum",
    "bound",
    "objective_gap",
    "test_loss",
    "optimum_test_loss",
    "test_loss_gap",
    "test_disagreement",
    "shrinkage",
]


def facts(trained: manifests.Manifest, history: pd.DataFrame, images: int) -> dict[str, Any]:
    """Return a run's penalty, bound and learning rates, from its manifest and history.

    images: the number of training images; 0 if unknown. penalty: λ/2 ‖θ‖² of the last weights.
    bound: an upper bound of J − min J, where `exact` proves one. rate: the sum over steps of the
    effective learning rate α/(1−μ); NaN if the algorithm is not SGD or `images` is 0.
    """
    optimizer = trained.info.get("recipe", trained.recipe)["optimizer"]
    kind, options = optimizer["algorithm"]["kind"], optimizer["algorithm"]["options"]
    rate = math.nan
    if kind == "sgd" and images:
        steps = math.ceil(images / optimizer["batch_size"])
        rates = history.loc[history["epoch"] > 0, "learning_rate"]
        rate = rates.sum() * steps / (1 - options["momentum"])
    bound = trained.info.get("certificate", {}).get("bound")
    return {
        "is_exact": kind == "exact",
        "penalty": trained.info["penalty"],
        "bound": bound,
        "rate": rate,
    }


def gaps(facts: pd.DataFrame, final: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return a row per finite run for which an `exact` run has the same model, λ and seed.

    facts: a row per run, from `facts`. final: metrics of each finite run's last epoch. predictions:
    of the last epoch, per image. Of several exact optimizers, the first in the config counts.

    objective: train cross-entropy + penalty, of the last weights. objective_gap: objective −
    optimum, exact up to `bound` (how far the optimum may be above the minimum) and about 1e-6 for
    float32. test_disagreement: the share of test images to which the two runs give different
    classes. shrinkage: λ · Σ α/(1−μ); SGD's steps alone shrink the initial weights by its
    exponential. Where it is not well above 1, early stopping regularises as well as λ.
    """
    keys = [*RUN[:1], "optimizer", *RUN[1:]]
    wide = final.pivot(index=keys, columns="split", values="loss").reset_index()
    if not {"train", "test"} <= set(wide):
        return pd.DataFrame(columns=COLUMNS)
    runs = facts.merge(wide, on=keys, how="inner")
    runs["objective"] = runs["train"] + runs["penalty"].astype(float)
    exact = runs[runs["is_exact"].astype(bool)].drop_duplicates(RUN)
    others = runs[~runs["is_exact"].astype(bool)]
    if not len(exact) or not len(others):
        return pd.DataFrame(columns=COLUMNS)
    exact = exact.rename(
        columns={"optimizer": "exact", "objective": "optimum", "test": "optimum_test_loss"}
    )
    kept = [*RUN, "exact", "optimum", "bound", "optimum_test_loss"]
    table = others.drop(columns="bound").merge(exact[kept], on=RUN)
    table = table.rename(columns={"test": "test_loss"})
    table["objective_gap"] = table["objective"] - table["optimum"]
    table["test_loss_gap"] = table["test_loss"] - table["optimum_test_loss"]
    table["shrinkage"] = table["rate"] * table["weight_decay"].astype(float)
    return table.merge(_disagreement(table, predictions), on=keys)[COLUMNS]


def _disagreement(table: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the share of test images that a run and its optimum give different classes."""
    keys = [*RUN[:1], "optimizer", *RUN[1:]]
    test = predictions.loc[predictions["split"] == "test", [*keys, "image", "predicted"]]
    paired = test.merge(table[[*keys, "exact"]], on=keys)
    both = paired.merge(
        test.rename(columns={"optimizer": "exact"}),
        on=[*RUN, "exact", "image"],
        suffixes=("", "_exact"),
    )
    differs = both.assign(test_disagreement=both["predicted"] != both["predicted_exact"])
    return differs.groupby(keys, sort=False, as_index=False)["test_disagreement"].mean()
