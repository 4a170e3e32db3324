"""Times `factor` whenever a quantity has not improved for `patience` epochs, as Keras has it.

torch's ReduceLROnPlateau waits one epoch more: its `patience` is one less than this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cobaye import recipes
from cobaye.training.history import Row, improves

# `factor` is also given the rows of history.csv of the epochs so far.
HISTORY = True


@dataclass(frozen=True)
class Options:
    """What is watched, and what follows."""

    #: Column of history.csv that is watched: below.
    quantity: recipes.Quantity = "val_accuracy"
    #: Factor of the learning rate whenever the quantity has not improved.
    factor: float = 0.2
    #: Epochs without an improvement before that, as in Keras; torch's `patience` is one less for
    #: the same.
    patience: int = 2
    #: Smallest change that counts as an improvement, absolute.
    threshold: float = 1e-4
    #: Smallest learning rate, over the first.
    minimum: float = 0.0

    def __post_init__(self):
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be between 0 and 1, not {self.factor}")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        if not self.threshold >= 0:
            raise ValueError(f"threshold must be at least 0, not {self.threshold}")
        if not 0 <= self.minimum <= 1:
            raise ValueError(f"minimum must be in [0, 1], not {self.minimum}")


def factor(options: Options, epoch: int, epochs: int, history: Sequence[Row]) -> float:
    """Return factor^n, n the number of times that the epochs before this one ran out of patience.

    history: the rows of epochs 1, 2, …, epoch − 1.
    """
    multiple, best, waited = 1.0, None, 0
    for row in history:
        value = row[options.quantity]
        waited += 1
        if improves(options.quantity, value, best, options.threshold):
            best, waited = value, 0
        elif waited == options.patience:
            multiple, waited = max(multiple * options.factor, options.minimum), 0
    return multiple
