"""Statistics of activations, layer by layer (S2.12, S2.13, S2.15–S2.17; figures 8.2–8.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cobaye.figures import _families, _layer_panels

NAMES = {
    "pair-information": {"value": "pair_information"},
    "pair-information-below-one": {"value": "pair_information_below_one"},
    "pathological-neurons": {"value": "pathological"},
    "label-information": {"value": "label_information"},
    "silhouette-euclidean": {"value": "silhouette_euclidean"},
    "silhouette-cosine": {"value": "silhouette_cosine"},
    "active-around-euclidean": {"value": "active_around_euclidean"},
    "active-around-cosine": {"value": "active_around_cosine"},
}
TABLES = ("activations", "runs")
TITLES = {
    "pair_information": "normalised mutual\ninformation of pairs",
    "pair_information_below_one": "normalised mutual information\nof pairs, those at 1 left out",
    "pathological": "share of neurons that\nnever change (%)",
    "label_information": "normalised mutual\ninformation with labels",
    "silhouette_euclidean": "silhouette\n(euclidean distance)",
    "silhouette_cosine": "silhouette\n(cosine distance)",
    "active_around_euclidean": "active neighbours (%)\n(euclidean distance)",
    "active_around_cosine": "active neighbours (%)\n(cosine distance)",
}
SHARES = ("pathological", "active_around_euclidean", "active_around_cosine")


@dataclass(frozen=True)
class Options:
    """What is shown, of which networks."""

    #: Column of the table `activations` that is shown.
    value: Literal[
        "pair_information",
        "pair_information_below_one",
        "pathological",
        "label_information",
        "silhouette_euclidean",
        "silhouette_cosine",
        "active_around_euclidean",
        "active_around_cosine",
    ] = "pair_information"
    #: The family of optimizers that is shown; `""`: all.
    family: str = ""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw one panel per family; below, for silhouettes, how many neurons counted."""
    table = tables["activations"]
    families = _families.families(tables["runs"], options.family)
    counted = f"{options.value}_neurons"
    rows = 2 if counted in table else 1
    figure, axes = _layer_panels.panels(families, rows)
    if not families:
        return figure
    table = table.assign(pathological=table["off"] + table["on"])
    factor = 100 if options.value in SHARES else 1
    table[options.value] *= factor
    untrained = _layer_panels.draw(axes[0], table, families, options.value)
    axes[0, 0].set_ylabel(TITLES[options.value])
    if rows == 2:
        _layer_panels.draw(axes[1], table, families, counted)
        axes[1, 0].set_ylabel("neurons\nthat counted")
        axes[1, 0].set_ylim(bottom=0)
        axes[1, 0].yaxis.set_major_locator(MaxNLocator(4, integer=True))
    elif options.value in SHARES:
        axes[0, 0].set_ylim(bottom=0)
    if options.value.startswith("silhouette"):
        for ax in axes[0]:
            ax.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    _layer_panels.legend(figure, families, untrained=untrained)
    return figure
