"""A λ for each of G groups of classes: the one of the group's lowest pooled validation loss.

The groups are by training loss. Grouped by validation loss, the classes with lucky validation
images would stand together, and the same images would then choose too small a λ for them.
"""

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
    """The groups."""

    #: Number of groups.
    groups: int = 2

    def __post_init__(self):
        if self.groups < 2:
            raise ValueError(f"groups: {self.groups}: at least 2")


def choose(given: Given, options: Options) -> Choice:
    """Return each group's λ; groups are by the classes' training loss at the best single λ."""
    train, val = losses(given, "train"), losses(given, "val")
    group = by_difficulty(train[train["weight_decay"] == given.best], options.groups)
    if len(group) < options.groups:
        raise DataError(f"groups: {options.groups}: train has images of {len(group)} classes only")
    chosen = pooled(val, group)
    info = {"classes": group.value_counts().sort_index().tolist(), "lambda": chosen.tolist()}
    return Choice(by_label(given, group.map(chosen)), info, parameters=options.groups)


def losses(given: Given, split: str) -> pd.DataFrame:
    """Return class, weight_decay, n, loss on a split: means over the finite seeds of each λ."""
    finite = tabulate.of_finite_runs(given.tables["classes"], given.tables["runs"])
    rows = finite[(finite["split"] == split) & (finite["n"] > 0)]
    return tabulate.mean_over_seeds(rows, ["class", "weight_decay"], ["n", "loss"])


def by_difficulty(table: pd.DataFrame, groups: int) -> pd.Series:
    """Return class → group, 0 … G − 1 from the lowest loss up, in sizes that differ by one at most.

    table: class and loss, a row per class. Ties go by label.
    """
    ordered = table.sort_values(["loss", "class"])["class"]
    return pd.Series(np.arange(len(ordered)) * groups // len(ordered), index=ordered.to_numpy())


def pooled(table: pd.DataFrame, group: pd.Series) -> pd.Series:
    """Return group → λ of the lowest loss over the group's images; ties go to the larger λ.

    table: as from `losses`. A class without a group counts nowhere.
    """
    rows = table.assign(group=table["class"].map(group), sum=table["n"] * table["loss"])
    sums = rows.groupby(["group", "weight_decay"], as_index=False)[["sum", "n"]].sum()
    sums = sums.assign(loss=sums["sum"] / sums["n"])
    return tabulate.lowest(sums, ["group"], "loss").set_index("group")["weight_decay"]
