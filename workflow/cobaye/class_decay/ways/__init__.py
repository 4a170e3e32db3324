"""Ways to choose a λ for each class, one kind per file: from finished runs, never from test.

In: a `Given`, the tables and splits of one configuration. Out: a `Choice`, λ by class.

A kind states ``TABLES`` (those it reads beside `best-lambda`), ``SPLITS`` (those it reads of the
study's data), ``Options`` and ``choose(given, options) -> Choice``. ``TRAIN_SPLITS``, if stated,
are the splits that its run learns from, instead of train alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from cobaye import recipes
    from cobaye.class_decay.descent import Images


@dataclass(frozen=True)
class Given:
    """The inputs of a way, for one configuration.

    tables: the rows of the configuration. best: the label of the best single λ. classes: K.
    training: the recipe, whose λ does not count. images: split → inputs as the model takes them,
    and labels. unseen: whether the backbone never saw the training images. device: where to
    compute.
    """

    tables: Mapping[str, pd.DataFrame]
    best: str
    classes: int
    training: recipes.Training
    images: Callable[[str], Images]
    unseen: bool
    device: str


@dataclass(frozen=True)
class Choice:
    """weight_decays: (K,) float64. info: facts on the choice, JSON-ready.

    parameters: how many λ were chosen freely; None: one per class.
    """

    weight_decays: np.ndarray
    info: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None


def by_label(given: Given, labels: pd.Series) -> np.ndarray:
    """Return λ (K,) from labels by class; a class that has none gets the best single λ."""
    whole = labels.reindex(range(given.classes))
    return whole.where(whole.notna(), given.best).astype(float).to_numpy()
