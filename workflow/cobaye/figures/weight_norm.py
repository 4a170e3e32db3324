"""The sum of |w| over weights and biases against epochs, one curve per λ (S0, fig. 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _epoch_curves

NAMES = {"weight-norm": {}}
TABLES = ("history", "runs", "best-lambda")


@dataclass(frozen=True)
class Options:
    """The axis. Sums at the ends of a grid of λ differ by orders of magnitude."""

    #: Scale of the axis.
    scale: Literal["linear", "log"] = "log"


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the sum after every epoch; epoch 0 is the initial weights."""
    quantity = _epoch_curves.Quantity(
        "weight_l1", "Σ|w|, weights and biases", log=options.scale == "log", ends="{:.0f}"
    )
    return _epoch_curves.figure(tables["history"], tables, [quantity], height=2.4)
