"""Classifiers beside the one of the best single λ: differences on test, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cobaye.figures import _forest, _panels
from cobaye.tables import rival_names

NAMES = {"rivals": {}}
TABLES = ("rivals",)

# Measure, axis title, factor, sign of what is better.
_PANELS = (
    ("loss", "change of loss (nats)", 1, -1),
    ("accuracy", "accuracy (points)", 100, 1),
    ("tenth", "worst tenth (points)", 100, 1),
)


@dataclass(frozen=True)
class Options:
    """None."""


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw a row of panels per configuration; its rivals from the lowest test loss down."""
    table = tables["rivals"]
    configurations = _panels.configurations(table)
    counts = [len(_forest.judged(_panels.of(table, each))) for each in configurations]
    height = 0.95 + 0.19 * max(counts, default=4)
    fig, axes = _panels.grid(len(configurations), len(_PANELS), height)
    for row, configuration in zip(axes, configurations, strict=False):
        whole = _panels.of(table, configuration)
        rivals, one = _forest.judged(whole), whole[whole["rival"] == "one"].iloc[0]
        places = np.arange(len(rivals))
        for ax, (measure, title, factor, better) in zip(row, _PANELS, strict=True):
            _forest.draw(ax, rivals, measure, factor, better)
            value = f"{100 * one[measure]:.1f} %" if factor > 1 else f"{one[measure]:.4f}"
            ax.set_title(f"at best λ: {value}", loc="left")
            ax.set_xlabel(title)
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.set_yticks(places, [""] * len(places))
            ax.set_ylim(len(places) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
        row[0].set_yticks(places, [rival_names.NAMES.get(name, name) for name in rivals["rival"]])
        _panels.title(row[0], row[0].get_title("left"), configuration, len(axes) > 1)
    if configurations:
        best = table["best"].drop_duplicates()
        handles = _forest.handles(f"best λ, {best.iloc[0]}" if len(best) == 1 else "best λ")
        fig.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2)
    return fig
