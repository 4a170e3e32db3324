"""Tables of a λ for each class beside the best single one, of one configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cobaye.randomness import derived_seed
from cobaye.statistics import choices, compared, effects
from cobaye.statistics.sample import Sample, by_class

# What float32 losses tell apart: an optimum is the same from every start.
_RESOLVED = 1e-5


@dataclass(frozen=True)
class Seen:
    """group: model and optimizer. best: the label of the best single λ. names: of the classes.

    columns: "one", then each way → seed → split → label, predicted and loss by image. A way all of
    whose runs diverged has no seeds.
    """

    group: Mapping[str, str]
    best: str
    names: Sequence[str]
    columns: Mapping[str, Mapping[int, Mapping[str, Any]]]

    @property
    def finite(self) -> list[str]:
        """The columns that have a run, the best single λ first."""
        return [name for name, by_seed in self.columns.items() if by_seed]

    def sample(self, split: str, value: str) -> Sample:
        """Return "loss" or "correct" of a split by image, a column each, means over seeds."""
        columns = [
            np.mean([_value(seen[split], value) for seen in self.columns[name].values()], axis=0)
            for name in self.finite
        ]
        labels = next(iter(self.columns["one"].values()))[split]["label"]
        return by_class(np.array(columns), labels, len(self.names))


def _value(seen: Mapping[str, np.ndarray], value: str) -> np.ndarray:
    return (
        seen["loss"].astype(np.float64)
        if value == "loss"
        else (seen["predicted"] == seen["label"]).astype(np.float64)
    )


def table(seen: Seen, draws: int, level: float, seed: int) -> pd.DataFrame:
    """Return a row for the best single λ and one per way: test figures, and differences from it.

    val_loss is what the λ were chosen by: no fair judge. p: of the difference in test loss, by
    Holm's method over the ways. Over seeds: t intervals of the mean difference, where there are
    several that differ.
    """
    finite = seen.finite
    name = "/".join(["analyse_per_class", *seen.group.values()])
    rng = np.random.default_rng(derived_seed(name, seed))
    comparison = compared.compare(
        seen.sample("test", "loss"), seen.sample("test", "correct"), draws, rng, level
    )
    # NaN, of no difference at all, counts as a test that finds none.
    alone = np.nan_to_num(comparison.p_values("loss")[1:, None], nan=1.0)
    p = np.array([np.nan, *effects.adjusted(alone)[1][:, 0]])
    val = seen.sample("val", "loss").values.mean(axis=0)
    rows = []
    for way in seen.columns:
        row = {"choice": way, "best": seen.best, "seeds": len(seen.columns[way])}
        if way in finite:
            place = finite.index(way)
            row |= {"val_loss": val[place]}
            for measure in compared.MEASURES:
                row[measure] = comparison.values[measure][place]
                interval = comparison.differences[measure]
                for end in ("estimate", "low", "high"):
                    key = "difference" if end == "estimate" else end
                    row[f"{measure}_{key}"] = getattr(interval, end)[place] if place else np.nan
            over = _over_seeds(seen, way, level)
            row |= {"seeds_low": over[0], "seeds_high": over[1], "p": p[place]}
        rows.append(row | {"verdict": verdict(row, 1 - level)})
    whole = pd.DataFrame(rows)
    for place, (key, value) in enumerate(seen.group.items()):
        whole.insert(place, key, value)
    return whole


def verdict(row: Mapping[str, Any], alpha: float) -> str:
    """Return a row's verdict, in words: whether a way beats one λ for all, in mean test loss."""
    if not row["seeds"]:
        return "no run stayed finite"
    if row["choice"] == "one":
        return "the best single λ, chosen on val"
    difference = row["loss_difference"]
    if not row["p"] <= alpha:
        return "not known to differ from one λ"
    return "beats one λ" if difference < 0 else "worse than one λ"


def _over_seeds(seen: Seen, way: str, level: float) -> tuple[float, float]:
    """Return the ends of the t interval of the test loss's difference over seeds; NaN: none."""
    by_seed, single = seen.columns[way], seen.columns["one"]
    shared = [seed for seed in single if seed in by_seed]
    if way == "one" or len(shared) < 2:
        return np.nan, np.nan
    differences = np.array(
        [
            _value(by_seed[seed]["test"], "loss").mean()
            - _value(single[seed]["test"], "loss").mean()
            for seed in shared
        ]
    )
    if np.ptp(differences) < _RESOLVED:
        return np.nan, np.nan
    interval = choices.over_seeds(differences, level)
    return float(interval.low), float(interval.high)


def lambdas(
    seen: Seen, chosen: Mapping[str, pd.DataFrame], weight_norms: np.ndarray
) -> pd.DataFrame:
    """Return a row per way and class: the chosen λ, and facts on the class.

    n_train: its training images. accuracy: on test. weight_norm: ‖w_c‖₂. The last two are of the
    run with the best single λ.
    """
    counts = np.bincount(
        next(iter(seen.columns["one"].values()))["train"]["label"], minlength=len(seen.names)
    )
    accuracy = seen.sample("test", "correct").means[:, 0]
    parts = []
    for way, whole in chosen.items():
        rows = whole[
            (whole["model"] == seen.group["model"])
            & (whole["optimizer"] == seen.group["optimizer"])
        ]
        parts.append(
            rows.assign(
                choice=way,
                best=seen.best,
                n_train=counts[rows["class"]],
                accuracy=accuracy[rows["class"]],
                weight_norm=weight_norms[rows["class"]],
            )
        )
    return pd.concat(parts, ignore_index=True)
