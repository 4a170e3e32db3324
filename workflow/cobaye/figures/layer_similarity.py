"""Similarity of every two layers: SVCCA and mutual information (S2.18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cobaye.figures import _families, _layer_panels

NAMES = {"svcca": {"value": "svcca"}, "layer-information": {"value": "pair_information"}}
TABLES = ("layer-similarity", "runs")
TITLES = {
    "svcca": "mean canonical correlation,\nless that of shuffled images",
    "pair_information": "normalised mutual information,\na neuron of each layer",
}


@dataclass(frozen=True)
class Options:
    """What is shown, of which networks."""

    #: Column of the table `layer-similarity` that is shown.
    value: Literal["svcca", "pair_information"] = "svcca"
    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw one layer × layer map per network, all on one scale; a row of panels per family."""
    table = tables["layer-similarity"]
    value = table[options.value]
    table = table.assign(shown=value - table["svcca_null"] if options.value == "svcca" else value)
    trained, untrained = _layer_panels.by_state(table)
    families = _families.families(tables["runs"], options.family)
    maps = [
        [(member.label, member.rows(trained)) for member in family] for family in families.values()
    ]
    if len(untrained):
        before = _layer_panels.networks(untrained)
        maps = [before + maps[0], *maps[1:]] if maps else [before]
    figure, axes = _layer_panels.by_member(maps, 1.6, 0.3)
    if not maps:
        return figure
    off_diagonal = table.loc[table["layer"] != table["other"], "shown"].dropna()
    low, high = (min(0.0, off_diagonal.min()), off_diagonal.max()) if len(off_diagonal) else (0, 1)
    image = None
    for row, members in zip(axes, maps, strict=True):
        for ax, (label, rows) in zip(row, members, strict=False):
            ax.set_axis_on()
            ax.set_title(label, loc="left")
            ax.tick_params(labelbottom=True, labelleft=True)
            ax.set_xlabel("layer")
            ax.set_ylabel("layer" if ax is row[0] else "")
            if len(rows):
                image = ax.imshow(
                    _square(rows), vmin=low, vmax=high, cmap="viridis", **_place(rows)
                )
                _number(ax, rows)
    if image is not None:
        figure.colorbar(image, ax=axes, label=TITLES[options.value], fraction=0.03, pad=0.02)
    return figure


def _square(table: pd.DataFrame) -> np.ma.MaskedArray:
    """Return layers × layers, means over seeds; masked where a layer has nothing to compare."""
    means = table.groupby(["layer", "other"])["shown"].mean().unstack()
    layers = range(1, int(table["layer"].max()) + 1)
    return np.ma.masked_invalid(means.reindex(index=layers, columns=layers).to_numpy(float))


def _place(table: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    last = int(table["layer"].max()) + 0.5
    return {"extent": (0.5, last, last, 0.5)}


def _number(ax: Axes, table: pd.DataFrame) -> None:
    last = int(table["layer"].max())
    ticks = range(1, last + 1, 1 if last < _layer_panels.MANY_LAYERS else 4)
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
