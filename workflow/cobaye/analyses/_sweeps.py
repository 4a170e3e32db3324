"""Predictions of all runs of a study for each image, by configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cobaye.errors import CorruptFile
from cobaye.recipes import axes
from cobaye.storage import finished_runs
from cobaye.storage.jobs import Job
from cobaye.storage.paths import SPLITS

Group = tuple[str, str]
# Split → the columns of its predictions, by image, of one run.
Parts = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Predictions:
    """One split, by the runs of one configuration, at their last epoch.

    labels: (N,). loss: (S, M, N) float32, seeds × λ × images. predicted: the same shape,
    int32. more: other columns, by name, as `loss`. A run that diverged has NaN and −1; every λ has
    a run that stayed finite.
    """

    labels: np.ndarray
    loss: np.ndarray
    predicted: np.ndarray
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def finite(self) -> np.ndarray:
        """Which runs are finite, (S, M)."""
        return self.predicted[:, :, 0] >= 0 if len(self.labels) else self._none()

    def _none(self) -> np.ndarray:
        return np.ones(self.loss.shape[:2], dtype=bool)

    def mean_loss(self) -> np.ndarray:
        """Return each image's loss, (M, N) float64, mean over the finite seeds of each λ."""
        return self.mean(self.loss)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of values (S, M, N) over the finite seeds of each λ, (M, N) float64."""
        finite = self.finite[:, :, None]
        return values.mean(axis=0, dtype=np.float64, where=finite)

    def mean_correct(self) -> np.ndarray:
        """Return the share of the finite seeds that are right, (M, N) float64."""
        right = (self.predicted == self.labels).sum(axis=0)
        return right / self.finite.sum(axis=0)[:, None]


@dataclass(frozen=True)
class Sweep:
    """All runs of one configuration. labels: of the λ, rising. splits: name → Predictions.

    axis: what the labels are values of, as its column is called in tables; see `recipes.axes`. at:
    the λ of all runs, where the axis is without λ.
    """

    group: Group
    labels: list[str]
    seeds: list[int]
    splits: dict[str, Predictions]
    axis: str = "weight_decay"
    at: str = ""


def sweeps(job: Job, splits: Sequence[str] = SPLITS, more: Sequence[str] = ()) -> list[Sweep]:
    """Return every configuration of which a run is finite, in the order of the config.

    job.recipe["runs"]: the identities of the runs. A λ all of whose runs diverged is left out, and
    so are derived runs, which have names instead of a λ. more: columns read beside the loss.
    """
    by_group: dict[Group, dict[tuple[str, int], Parts]] = {}
    for run in job.recipe["runs"]:
        done = finished_runs.finished(job, run)
        if done.trained.info["finite"] and _is_number(run["weight_decay"]):
            by_run = by_group.setdefault((run["model"], run["optimizer"]), {})
            path = done.evaluated.check(done.folder, "predictions.parquet")
            by_run[run["weight_decay"], run["seed"]] = read_predictions(path, splits, more)
    return [joined(group, by_run) for group, by_run in by_group.items()]


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def read_predictions(path: Path, splits: Sequence[str] = SPLITS, more: Sequence[str] = ()) -> Parts:
    """Return split → {"label", "predicted", "loss", *more}, by image, in order, of one run."""
    columns = ["label", "predicted", "loss", *more]
    try:
        table = pq.read_table(path, columns=["split", *columns])
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptFile(f"{path}: expected predictions, found {reason}") from None
    parts = {}
    for split in splits:
        rows = table.filter(pc.equal(table["split"], split))
        parts[split] = {name: rows[name].to_numpy() for name in columns}
    return parts


def joined(
    group: Group,
    by_run: Mapping[tuple[str, int], Parts],
    axis: str = "weight_decay",
    at: str = "",
) -> Sweep:
    """Return the sweep of finite runs, by label and seed. axis, at: as of `Sweep`."""
    labels = sorted({label for label, _ in by_run}, key=axes.numbers)
    seeds = sorted({seed for _, seed in by_run})
    first = next(iter(by_run.values()))
    splits = {}
    for split, columns in first.items():
        shape = (len(seeds), len(labels), len(columns["label"]))
        arrays = {
            name: np.full(shape, -1 if name == "predicted" else np.nan, dtype=values.dtype)
            for name, values in columns.items()
            if name != "label"
        }
        for (label, seed), parts in by_run.items():
            place = seeds.index(seed), labels.index(label)
            for name, array in arrays.items():
                array[place] = parts[split][name]
        known = arrays.pop("loss"), arrays.pop("predicted")
        splits[split] = Predictions(columns["label"], *known, arrays)
    return Sweep(group, labels, seeds, splits, axis, at)


def of_run(sweep: Sweep, label: str, seed: int) -> Parts:
    """Return one run of a sweep, as `joined` takes it."""
    place = sweep.seeds.index(seed), sweep.labels.index(label)
    return {
        name: {
            "label": each.labels,
            "predicted": each.predicted[place],
            "loss": each.loss[place],
            **{key: values[place] for key, values in each.more.items()},
        }
        for name, each in sweep.splits.items()
    }
