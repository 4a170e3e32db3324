"""How much each layer shares with each other one: SVCCA and mutual information (S2.18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _by_layer, _families

NAMES = {"svcca": {"value": "svcca"}, "layer-information": {"value": "pair_information"}}
TABLES = ("layer-similarity",)
TITLES = {
    "svcca": "mean canonical correlation, less that of shuffled images",
    "pair_information": "normalised mutual information, a neuron of each layer",
}


@dataclass(frozen=True)
class Options:
    """What is shown; family: of this family alone, "" of all."""

    value: Literal["svcca", "pair_information"] = "svcca"
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw one layer × layer map per network, all on one scale; a row of panels per family."""
    table = tables["layer-similarity"]
    value = table[options.value]
    table = table.assign(shown=value - table["svcca_null"] if options.value == "svcca" else value)
    trained, untrained = _by_layer.by_state(table)
    found = _families.families(trained, options.family)
    maps = [[(member.label, member.rows(trained)) for member in own] for own in found.values()]
    if len(untrained):
        maps.insert(0, [("untrained", untrained)])
    figure, axes = _by_layer.by_member(maps, (1.9, 1.95), (1.4, 0.3))
    if not maps:
        return figure
    off_diagonal = table.loc[table["layer"] != table["other"], "shown"]
    top = float(off_diagonal.max()) if off_diagonal.notna().any() else 1.0
    limits = {"vmin": min(0.0, float(off_diagonal.min() or 0)), "vmax": top, "cmap": "viridis"}
    for row, members in zip(axes, maps, strict=True):
        for ax, (label, own) in zip(row, members, strict=False):
            ax.set_axis_on()
            ax.set_title(label, loc="left")
            square = own.pivot_table(index="layer", columns="other", values="shown")
            last = int(square.index.max()) + 0.5
            extent = (0.5, last, last, 0.5)
            image = ax.imshow(np.ma.masked_invalid(square), extent=extent, **limits)
            ticks = range(1, int(last) + 1, 1 if last < _by_layer.MANY_LAYERS else 4)
            ax.set_xticks(ticks)
            ax.set_yticks(ticks)
            ax.tick_params(labelbottom=True, labelleft=True)
            ax.set_xlabel("layer")
            ax.set_ylabel("layer" if ax is row[0] else "")
    figure.colorbar(image, ax=axes, label=TITLES[options.value], fraction=0.03, pad=0.02)
    return figure
