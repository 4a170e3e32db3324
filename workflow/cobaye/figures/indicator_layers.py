"""The rank correlation of every indicator with test accuracy, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _layer_panels, _style
from cobaye.figures._indicator_names import WORDS

NAMES = {"indicator-layers": {}}
TABLES = ("indicator-ranks",)


@dataclass(frozen=True)
class Options:
    """Nothing to set."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row per indicator and a column per layer, Spearman's ρ in each field."""
    ranks = tables["indicator-ranks"]
    ranks = ranks.assign(layer=ranks["layer"].astype(str))
    numbers = sorted({int(layer) for layer in ranks["layer"] if layer != "all"})
    columns = ["all", *map(str, numbers)]
    square = ranks.pivot_table(index="indicator", columns="layer", values="spearman", dropna=False)
    square = square.reindex(columns=columns)
    square = square.reindex([name for name in WORDS if name in square.index])
    figure = _style.figure(0.8 + 0.24 * max(len(square), 2))
    ax = figure.subplots()
    if not square.notna().any(axis=None):
        _layer_panels.empty(ax)
        return figure
    values = np.ma.masked_invalid(square.to_numpy(float))
    image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for (row, column), rho in np.ndenumerate(square.to_numpy(float)):
        if np.isfinite(rho):
            text = f"{rho:+.1f}".replace("-", "−")
            ink = "white" if abs(rho) > 0.7 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=6, color=ink)
    ax.set_xticks(range(len(columns)), ["mean", *columns[1:]])
    ax.set_yticks(range(len(square)), [WORDS[name].replace("\n", " ") for name in square.index])
    ax.axvline(0.5, color="white", linewidth=3)
    ax.tick_params(length=0)
    ax.set_xlabel("layer")
    figure.colorbar(image, ax=ax, label="Spearman's ρ with test accuracy", fraction=0.04, pad=0.02)
    return figure
