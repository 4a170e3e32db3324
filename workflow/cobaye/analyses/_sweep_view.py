"""The runs of one (model, optimizer), as the tables of the analysis `classes` need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cobaye.analyses._sweeps import Sweep
from cobaye.randomness import derived_seed
from cobaye.statistics import chance, reliability, shrinkage
from cobaye.statistics.sample import Sample, by_class

# Images drawn for one bootstrap, all draws together: bounds its time on a large training split.
_MOST_DRAWN = 200_000_000
# Draws of classes on each of which the shrunk curves are fitted anew.
_REFITS = 200


@dataclass(frozen=True)
class View:
    """A sweep, the names of its classes, and the options of the analysis."""

    sweep: Sweep
    names: list[str]
    draws: int
    splits: int
    level: float
    seed: int

    @property
    def classes(self) -> int:
        """The number of classes of the dataset, K."""
        return len(self.names)

    @cached_property
    def losses(self) -> dict[str, Sample]:
        """Each split's losses, a column per λ, means over seeds by image."""
        return {
            split: by_class(predictions.mean_loss(), predictions.labels, self.classes)
            for split, predictions in self.sweep.splits.items()
        }

    @cached_property
    def correct(self) -> dict[str, Sample]:
        """Each split's correctness, 0 to 1, as in `losses`; val and test only."""
        return {
            split: by_class(predictions.mean_correct(), predictions.labels, self.classes)
            for split, predictions in self.sweep.splits.items()
            if split != "train"
        }

    @cached_property
    def reference(self) -> int:
        """The place of the best λ overall: lowest mean loss on val, ties to the larger λ."""
        return int(reliability.lowest(self.losses["val"].values.mean(axis=0)))

    @property
    def best(self) -> str:
        """The label of the best λ overall."""
        return self.sweep.labels[self.reference]

    @cached_property
    def differences(self) -> dict[str, Sample]:
        """The losses' differences from the best λ overall, of val and test."""
        return {split: self.losses[split].relative_to(self.reference) for split in ("val", "test")}

    @cached_property
    def shrunk(self) -> dict[str, shrinkage.Shrunk]:
        """The shrunk curves of val and of test."""
        return {
            split: shrinkage.shrink(
                differences, self.reference, min(self.draws, _REFITS), self.rng(f"shrunk {split}")
            )
            for split, differences in self.differences.items()
        }

    @cached_property
    def nulls(self) -> dict[str, dict[str, chance.Null]]:
        """What noise alone would choose: split → "one curve" or "one shape" → counts."""
        kinds = {"one curve": False, "one shape": True}
        return {
            split: {
                name: chance.null_counts(
                    sample,
                    self.reference,
                    self.draws,
                    self.rng(f"null {split} {name}"),
                    self.level,
                    own_amplitudes=own,
                )
                for name, own in kinds.items()
            }
            for split, sample in self.losses.items()
        }

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random generator for a purpose, independent of all others."""
        return np.random.default_rng(
            derived_seed("/".join(["analyse_classes", *self.sweep.group, purpose]), self.seed)
        )

    def draws_of(self, sample: Sample) -> int:
        """Return how many draws of a sample are taken: fewer of one that is very large."""
        return min(self.draws, max(100, _MOST_DRAWN // max(len(sample.values), 1)))

    def frame(self, columns: Mapping[str, Any]) -> pd.DataFrame:
        """Return a table of these columns, model and optimizer before them.

        Over an axis without λ, the λ of all runs, `at`, follows these.
        """
        table = pd.DataFrame(dict(columns))
        table.insert(0, "model", self.sweep.group[0])
        table.insert(1, "optimizer", self.sweep.group[1])
        if self.sweep.at:
            table.insert(2, "at", self.sweep.at)
        return table

    def by_class_and_lambda(self, columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Return a table with a row per class and λ, of columns (K, M)."""
        labels, numbers = self.sweep.labels, np.arange(self.classes)
        return self.frame(
            {
                "class": np.repeat(numbers, len(labels)),
                "name": np.repeat(np.array(self.names, dtype=object), len(labels)),
                self.sweep.axis: np.tile(np.array(labels, dtype=object), self.classes),
                **{name: np.asarray(values).ravel() for name, values in columns.items()},
            }
        )
