"""The loss of each class against λ: its panels, and the λ of the lowest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _lambda_axis, _panels


class Row(NamedTuple):
    """The panel of one configuration. classes: rows of the table `classes`, finite runs."""

    ax: Axes
    configuration: _panels.Configuration
    axis: _lambda_axis.LambdaAxis
    best: str | None
    classes: pd.DataFrame


def rows(
    tables: Mapping[str, pd.DataFrame], split: str, height: float, legend: float = 0.0
) -> tuple[Figure, list[Row]]:
    """Return a figure with a panel per configuration. height: of one row, inches."""
    classes = tables["classes"]
    classes = classes[classes["split"] == split]
    configurations = _panels.configurations(classes)
    fig, axes = _panels.grid(len(configurations), 1, height, legend)
    panels = []
    for ax, configuration in zip(axes[:, 0], configurations, strict=False):
        best = _panels.best(tables, configuration)
        axis = _lambda_axis.LambdaAxis(tuple(_panels.lambdas(tables, configuration)))
        finite = _panels.without_diverged(classes, tables, configuration)
        panels.append(Row(ax, configuration, axis, best, finite))
    return fig, panels


def class_losses(classes: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """Return the loss of every class (rows) at every λ (columns), mean over the finite runs.

    ``classes``: rows of the table of that name, of one split of one configuration, without the
    runs that diverged. A λ that has no run left is a column of NaN.
    """
    finite = classes[np.isfinite(classes["loss"].to_numpy(float))]
    means = finite.groupby(["class", "weight_decay"])["loss"].mean().unstack()
    return means.reindex(index=sorted(classes["class"].unique()), columns=list(labels))


def lowest(losses: pd.DataFrame) -> pd.Series:
    """Return, for each class with a finite loss, the λ of its lowest loss; ties: the larger λ."""
    known = losses.dropna(how="all")
    return known[known.columns[::-1]].idxmin(axis=1) if len(known) else pd.Series(dtype=object)


def counts(losses: pd.DataFrame) -> pd.Series:
    """Return how many classes have their lowest loss at each λ (index: the columns of losses)."""
    return lowest(losses).value_counts().reindex(losses.columns, fill_value=0)
