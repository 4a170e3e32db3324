"""Accuracy and loss on held-out images against epochs, one curve per λ (S0, fig. 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from cobaye.figures import _epoch_curves

NAMES = {"test-curves": {}}
TABLES = ("metrics", "runs", "best-lambda", "baseline")
# Scores of held-out images by epoch: it needs checkpoints between the first and the last.
BY_EPOCH = True


@dataclass(frozen=True)
class Options:
    """Epoch 0 is the initial weights, far above all that follows."""

    #: Held-out split.
    split: Literal["val", "test"] = "test"
    #: First epoch that is shown.
    first_epoch: int = 1
    #: The loss on a logarithmic axis.
    log_loss: bool = False


def draw(tables: Mapping[str, pd.DataFrame], options: Options) -> Figure:
    """Draw the scores of each epoch's checkpoint."""
    metrics, split = tables["metrics"], options.split
    wanted = (metrics["split"] == split) & (metrics["epoch"] >= options.first_epoch)
    quantities = [
        _epoch_curves.Quantity("accuracy", f"accuracy on {split} (%)", 100, ends="{:.1f} %"),
        _epoch_curves.Quantity("loss", f"mean {{loss}} on {split}{{unit}}", log=options.log_loss),
    ]
    return _epoch_curves.figure(metrics[wanted], tables, quantities, height=2.3, split=split)
