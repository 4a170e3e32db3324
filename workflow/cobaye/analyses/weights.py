"""What training does to each layer's weights (S2.7–S2.9)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cobaye.inside import Inside

TABLES = {"rotation": "rotation.csv"}
STATES = ("trained",)
SPLIT = None


@dataclass(frozen=True)
class Options:
    """What a study may set."""


def measure(run: Inside, options: Options) -> dict[str, pd.DataFrame]:
    """Return the norm of each kernel after each epoch."""
    rows = []
    for epoch in range(run.last + 1):
        kernels = {name: w for name, w in run.tensors(epoch).items() if w.ndim > 1}
        for layer, (name, weights) in enumerate(kernels.items(), start=1):
            norm = weights.double().norm().item()
            rows.append({"epoch": epoch, "layer": layer, "name": name, "norm": norm})
    return {"rotation": pd.DataFrame(rows)}
