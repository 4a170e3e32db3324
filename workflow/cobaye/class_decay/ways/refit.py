"""The best single λ for every class, in a run that trains on val too.

λ stands beside the mean loss. With more images the penalty weighs the same beside the mean, and
more beside the sum: as a Gaussian prior it is narrower, by the factor √(N / (N + N_val)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cobaye.class_decay.ways import Choice, Given

TABLES = ()
SPLITS = ()
# The run learns from val, so val is no judge of it.
TRAIN_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Options:
    """None."""


def choose(given: Given, options: Options) -> Choice:
    """Return the best single λ, K times."""
    return Choice(np.full(given.classes, float(given.best)), parameters=1)
