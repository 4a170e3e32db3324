"""Share of zeros among the binarised activations, by network and layer (S2.14, table 8.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _families, _layer_panels, _style

NAMES = {"activation-zeros": {}}
TABLES = ("activations", "runs")


@dataclass(frozen=True)
class Options:
    """Which networks."""

    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a table, a row per network and a column per layer, shaded by its numbers."""
    table = tables["activations"]
    families = _families.families(tables["runs"], options.family)
    trained, untrained = _layer_panels.by_state(table)
    rows = _layer_panels.networks(untrained)
    rows += [
        (member.label, member.rows(trained)) for family in families.values() for member in family
    ]
    layers = sorted(table["layer"].unique())
    figure = _style.figure(0.7 + 0.2 * max(len(rows), 2))
    ax = figure.subplots()
    if not rows or not layers:
        _layer_panels.empty(ax)
        return figure
    shares = np.array(
        [part.groupby("layer")["zeros"].mean().reindex(layers).to_numpy(float) for _, part in rows]
    )
    image = ax.imshow(np.ma.masked_invalid(shares), cmap="Greys", aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            ink = "white" if image.norm(share) > 0.55 else "black"
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=6.5, color=ink)
    ax.set_xticks(range(len(layers)), [str(int(layer)) for layer in layers])
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.tick_params(length=0)
    ax.set_xlabel("layer")
    figure.colorbar(image, ax=ax, label="share of zeros", fraction=0.04, pad=0.02)
    return figure
