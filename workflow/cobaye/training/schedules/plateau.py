"""Times `factor` whenever a quantity has not improved for `patience` epochs, as Keras has it.

torch's ReduceLROnPlateau waits one epoch more: its `patience` is one less than this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cobaye.training.history import Row, improves

# `factor` is also given the rows of history.csv of the epochs so far.
HISTORY = True


@dataclass(frozen=True)
class Options:
    """threshold: what counts as better, absolute. minimum: of the rate, over the first one's."""

    quantity: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_accuracy"
    factor: float = 0.2
    patience: int = 2
    threshold: float = 1e-4
    minimum: float = 0.0

    def __post_init__(self):
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be between 0 and 1, not {self.factor}")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        if not (self.threshold >= 0 and 0 <= self.minimum <= 1):
            raise ValueError("threshold must be at least 0, and minimum in [0, 1]")


def factor(options: Options, epoch: int, epochs: int, history: Sequence[Row]) -> float:
    """Return factor^n, n the number of times that the epochs before this one ran out of patience.

    history: the rows of epochs 1, 2, …, epoch − 1.
    """
    found, best, waited = 1.0, None, 0
    for row in history:
        value = row[options.quantity]
        waited += 1
        if improves(options.quantity, value, best, options.threshold):
            best, waited = value, 0
        elif waited == options.patience:
            found, waited = max(found * options.factor, options.minimum), 0
    return found
