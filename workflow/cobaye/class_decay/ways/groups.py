"""A λ for each of G groups of classes: the one of the group's lowest pooled validation loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cobaye.class_decay.ways import Choice, Given, by_label
from cobaye.errors import DataError
from cobaye.tables import tabulate

TABLES = ("classes", "runs")
SPLITS = ()


@dataclass(frozen=True)
class Options:
    """What a study may set. groups: G, of classes from the easiest to the hardest on val."""

    groups: int = 2

    def __post_init__(self):
        if self.groups < 2:
            raise ValueError(f"groups: {self.groups}: at least 2")


def choose(given: Given, options: Options) -> Choice:
    """Return each group's λ; groups are by the classes' val loss at the best single λ."""
    losses = validation_losses(given)
    if losses["class"].nunique() < options.groups:
        raise DataError(
            f"groups: {options.groups}: val has images of {losses['class'].nunique()} classes only"
        )
    group = by_difficulty(losses[losses["weight_decay"] == given.best], options.groups)
    chosen = pooled(losses, group)
    info = {"classes": group.value_counts().sort_index().tolist(), "lambda": chosen.tolist()}
    return Choice(by_label(given, group.map(chosen)), info, parameters=options.groups)


def validation_losses(given: Given) -> pd.DataFrame:
    """Return class, weight_decay, n, loss on val: means over the finite seeds of each λ."""
    finite = tabulate.of_finite_runs(given.tables["classes"], given.tables["runs"])
    val = finite[(finite["split"] == "val") & (finite["n"] > 0)]
    return tabulate.mean_over_seeds(val, ["class", "weight_decay"], ["n", "loss"])


def by_difficulty(losses: pd.DataFrame, groups: int) -> pd.Series:
    """Return class → group, 0 … G − 1 from the lowest loss up, in sizes that differ by one at most.

    losses: a row per class. Ties go by label.
    """
    ordered = losses.sort_values(["loss", "class"])["class"]
    return pd.Series(np.arange(len(ordered)) * groups // len(ordered), index=ordered.to_numpy())


def pooled(losses: pd.DataFrame, group: pd.Series) -> pd.Series:
    """Return group → λ of the lowest loss over the group's images; ties go to the larger λ."""
    rows = losses.assign(group=losses["class"].map(group), sum=losses["n"] * losses["loss"])
    sums = rows.groupby(["group", "weight_decay"], as_index=False)[["sum", "n"]].sum()
    sums = sums.assign(loss=sums["sum"] / sums["n"])
    return tabulate.lowest(sums, ["group"], "loss").set_index("group")["weight_decay"]
