"""Indicators of generalisation, computed inside a network, against test accuracy.

An indicator is a result of an analysis of single runs, one number per run and layer. Its rank
correlation with test accuracy is over the runs of the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cobaye.storage.jobs import Job
from cobaye.tables import reading

TABLES = {"indicators": "indicators.csv", "indicator-ranks": "indicator-ranks.csv"}
# Analysis → the table that is read; a study has at least one of these analyses.
READS_TABLES = {"weights": "rotation", "pruning": "pruning", "activations": "activations"}
KEYS = reading.KEYS
OF_WEIGHTS = ("cosine_distance", "norm_ratio", "projection", "near_zero", "near_own_zero")
OF_ACTIVATIONS = (
    "zeros",
    "off",
    "always_active",
    "pair_information",
    "pair_information_below_one",
    "label_information",
    "silhouette_euclidean",
    "silhouette_cosine",
    "active_around_euclidean",
    "active_around_cosine",
)
# Means over few neurons are left out: column of a mean → column of its number of neurons.
CLUSTERS = {
    f"{value}_{metric}": f"{value}_{metric}_neurons"
    for value in ("silhouette", "active_around")
    for metric in ("euclidean", "cosine")
}
NEURONS = 5
WHOLE = "all"
FEWEST = 3  # runs of a rank correlation


@dataclass(frozen=True)
class Options:
    """None."""


def analyse(job: Job, options: Options) -> dict[str, pd.DataFrame]:
    """Compare all indicators of a study with test accuracy."""
    values = indicators(reading.read_tables(job, job.recipe["tables"]))
    return {"indicators": values, "indicator-ranks": ranks(values)}


def indicators(read: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per run, indicator and layer, "all" for their mean: value and test_accuracy.

    Of the trained networks, at their last epoch. A layer without a value is left out of the mean;
    so is a silhouette, or a share of active neighbours, of fewer than `NEURONS` neurons.
    pruned_random, pruned_magnitude: the mean, over all fractions above 0 and all repeats, of
    accuracy, as a share of the accuracy before pruning.
    """
    parts = []
    if "rotation" in read:
        rotation = read["rotation"]
        last = rotation.groupby(KEYS, sort=False)["epoch"].transform("max") == rotation["epoch"]
        parts.append(_by_layer(rotation[last], OF_WEIGHTS))
    if "activations" in read:
        activations = read["activations"]
        trained = activations[activations["state"] == "trained"].copy()
        for value, neurons in CLUSTERS.items():
            trained[value] = trained[value].where(trained[neurons] >= NEURONS)
        parts.append(_by_layer(trained, OF_ACTIVATIONS))
    if "pruning" in read:
        parts.append(_pruned(read["pruning"]))
    metrics = read["metrics"]
    last = metrics.groupby(KEYS, sort=False)["epoch"].transform("max") == metrics["epoch"]
    test = metrics[last & (metrics["split"] == "test")].rename(
        columns={"accuracy": "test_accuracy"}
    )
    return pd.concat(parts, ignore_index=True).merge(test[[*KEYS, "test_accuracy"]], on=KEYS)


def _by_layer(table: pd.DataFrame, wanted: Iterable[str]) -> pd.DataFrame:
    long = table.melt([*KEYS, "layer"], list(wanted), "indicator", "value")
    means = long.groupby([*KEYS, "indicator"], sort=False)["value"].mean().reset_index()
    long["layer"] = long["layer"].astype(int).astype(str)
    return pd.concat([means.assign(layer=WHOLE), long])[[*KEYS, "indicator", "layer", "value"]]


def _pruned(table: pd.DataFrame) -> pd.DataFrame:
    keys = [*KEYS, "how"]
    whole = table[table["fraction"] == 0].groupby(keys, sort=False)["accuracy"].mean()
    pruned = table[table["fraction"] > 0].groupby(keys, sort=False)["accuracy"].mean()
    ratios = (pruned / whole).rename("value").reset_index()
    ratios["indicator"] = "pruned_" + ratios["how"]
    return ratios.assign(layer=WHOLE)[[*KEYS, "indicator", "layer", "value"]]


def ranks(values: pd.DataFrame) -> pd.DataFrame:
    """Return, per indicator and layer, Spearman's rank correlation with test accuracy over runs.

    p_value: of no correlation (scipy's, by Student's t: rough for few runs, and runs of one family
    are no independent draws); p_bh: adjusted over the indicators of one layer (Benjamini and
    Hochberg). NaN where fewer than three runs have a value, or all have the same.
    """
    rows = []
    for (indicator, layer), group in values.groupby(["indicator", "layer"], sort=False):
        pairs = group[["value", "test_accuracy"]].dropna()
        row = {"indicator": indicator, "layer": layer, "runs": len(pairs)}
        varied = len(pairs) >= FEWEST and (pairs.nunique() > 1).all()
        test = stats.spearmanr(pairs["value"], pairs["test_accuracy"]) if varied else None
        row["spearman"] = test.statistic if test else np.nan
        row["p_value"] = test.pvalue if test else np.nan
        rows.append(row)
    table = pd.DataFrame(rows, columns=["indicator", "layer", "runs", "spearman", "p_value"])
    table["p_bh"] = np.nan
    for _, group in table.dropna(subset="p_value").groupby("layer"):
        table.loc[group.index, "p_bh"] = stats.false_discovery_control(group["p_value"])
    return table
