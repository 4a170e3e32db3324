"""Losses whose truth is known, drawn for calibration.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import _common  # noqa: F401  the library on the path
import numpy as np

from cobaye.analyses import _sweeps
from cobaye.statistics.sample import Sample, by_class

PLACES = np.linspace(-1, 1, 7)
TRUTHS = ("none", "one curve", "one shape", "own optima")


@dataclass(frozen=True)
class Scenario:
    """classes, images: K and the mean n. noise: "normal", "lognormal" or a folder of runs."""

    classes: int
    images: int
    noise: str
    unequal: bool
    truth: str

    @property
    def name(self) -> list[str]:
        """Its first columns in the table."""
        kind = Path(self.noise).name + (", unequal" if self.unequal else "")
        return [f"{self.classes}", f"{self.images}", kind, self.truth]


@dataclass(frozen=True)
class World:
    """truth: θ, (K, M). counts: images of each class. residuals: their distribution, by class."""

    truth: np.ndarray
    counts: np.ndarray
    spread: np.ndarray
    pool: Sample | None

    def sample(self, rng: np.random.Generator, noise: str) -> Sample:
        """Return losses of new images of these classes."""
        labels = np.repeat(np.arange(len(self.counts)), self.counts)
        if self.pool is not None:
            rows = self.pool.starts[labels] + rng.integers(0, self.pool.counts[labels])
            return Sample(self.truth[labels] + self.pool.values[rows], self.counts)
        shape = (len(labels), 3)
        raw = rng.standard_normal(shape)
        if noise == "lognormal":
            raw = (np.exp(raw) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
        basis = np.stack([PLACES, PLACES**2, np.sin(3 * PLACES)])
        values = 0.3 * raw @ basis + 0.05 * rng.standard_normal((len(labels), len(PLACES)))
        return Sample(self.truth[labels] + self.spread[labels, None] * values, self.counts)


def world(scenario: Scenario, rng: np.random.Generator) -> World:
    """Draw the classes of a scenario."""
    pool = residuals(Path(scenario.noise)) if "/" in scenario.noise else None
    number = scenario.classes if pool is None else len(pool.counts)
    places = PLACES if pool is None else np.linspace(-1, 1, pool.values.shape[1])
    size = rng.gamma(1, 1, number)[:, None] if scenario.truth in TRUTHS[2:] else 1.0
    shift = 0.25 * rng.standard_normal((number, 1)) if scenario.truth == "own optima" else 0.0
    height = 0.0 if scenario.truth == "none" else 0.5
    truth = height * size * (places - 0.2 - shift) ** 2 + np.zeros((number, len(places)))
    counts = np.full(number, scenario.images)
    spread = np.ones(number)
    if scenario.unequal:
        counts = np.maximum(np.rint(scenario.images * rng.choice([0.4, 1, 1.6], number)), 4)
        spread = np.exp(0.6 * rng.standard_normal(number))
    return World(truth, counts.astype(int), spread, pool)


def residuals(folder: Path) -> Sample:
    """Return the test losses of a configuration's runs about their class means, a column per λ."""
    by_label = {}
    for path in folder.glob("wd-*/seed-0/predictions.parquet"):
        label = path.parents[1].name.removeprefix("wd-")
        if not label.startswith("per-class"):
            by_label[label] = _sweeps.read_predictions(path)["test"]
    tests = [by_label[label] for label in sorted(by_label, key=float)]
    labels = tests[0]["label"]
    sample = by_class(np.array([each["loss"] for each in tests]), labels, int(labels.max()) + 1)
    return sample.with_values(sample.values - sample.means[sample.labels])
