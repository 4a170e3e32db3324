"""Rotation of each layer's weights by training, and the distribution of changes (S2.7–S2.9)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cobaye.inside import rotations
from cobaye.inside.opened_run import Inside

TABLES = {"rotation": "rotation.csv", "weight-histograms": "weight-histograms.parquet"}
COLUMNS = {
    "rotation": "epoch layer name kind parameters cosine_distance norm norm_ratio projection "
    "near_zero near_own_zero opposed",
    "weight-histograms": "quantity layer name lower upper count",
}
STATES = ("trained",)
# Read for the network's shape alone: checkpoints do not tell the order of their layers.
SPLIT = "test"


@dataclass(frozen=True)
class Options:
    """What counts as near zero."""

    #: A weight counts as near zero if its size is below this share of its layer's root mean square:
    #: that of the initial weights for `near_zero`, that of the weights themselves for
    #: `near_own_zero`.
    near: float = 0.1

    def __post_init__(self):
        if not 0 < self.near < 1:
            raise ValueError(f"near must be in (0, 1), not {self.near}")


def inspect(run: Inside, options: Options) -> dict[str, pd.DataFrame]:
    """Compare kernels after each kept epoch with epoch 0; distributions, after the last alone."""
    network, _ = run.forward()
    kernels, initial = rotations.kernels(network), run.tensors(0)
    rows = []
    for epoch in run.kept:
        now = run.tensors(epoch)
        turned = rotations.rotations(kernels, initial, now, options.near)
        rows += [{"epoch": epoch, **row} for row in turned]
    parts = []
    for kernel in kernels:
        table = rotations.histograms(initial[kernel.parameter], now[kernel.parameter])
        for at, (column, value) in enumerate(kernel.columns.items(), start=1):
            table.insert(at, column, value)
        parts.append(table)
    distributions = pd.concat(parts, ignore_index=True)
    return {"rotation": pd.DataFrame(rows), "weight-histograms": distributions}
