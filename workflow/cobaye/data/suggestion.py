"""A grid of λ, and a training recipe, suggested from the size and scale of features.

At θ = 0 the mean cross-entropy has the gradient G. Where λ exceeds the curvature, the optimum of
J(θ) = CE(θ) + λ/2 ‖θ‖² is −G/λ in first order, and its logits are 1/λ times those of −G. Let s be
the root mean square of the logits of −G. At λ = s the optimum's logits have a root mean square of 1
in first order: the predictions still resemble each other, and a larger λ makes them constant.
Features that are c times as large have a c² times as large s, as has a λ of equal effect (the bias
aside). The grid goes down from the half decade nearest to s.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

VALUES = 11  # five decades
ROWS = 20_000  # drawn at random, to measure the scale of more
# Numbers in a pass of the exact solver, N · D · K, above which SGD is suggested: about 0.3 s of one
# core for the pass, and hundreds of passes for an optimum.
EXACT_WORK = 1e10
# Share of ‖G‖ at which the exact solver stops.
ACCURACY = 1e-5
# Share of the mean squared length of a row below which s is rounding.
EQUAL = 1e-9
# SGD's learning rate times the mean squared length of a row. The shipped studies have 50 to 120.
STEP = 50.0


@dataclasses.dataclass(frozen=True)
class Scale:
    """Of training features: rows N, width D, classes K.

    logits: s. gradient: ‖G‖₂, the bias included. square: the mean squared length of a row with its
    1 for the bias.
    """

    rows: int
    width: int
    classes: int
    logits: float
    gradient: float
    square: float

    @property
    def is_zero(self) -> bool:
        """Whether every class has the same mean features, so that no λ can be suggested."""
        return self.logits <= EQUAL * self.square


def scale_of(features: np.ndarray, labels: np.ndarray, classes: int, rows: int) -> Scale:
    """Return the scale of features (n, D), labels (n,): a sample of the ``rows`` rows there are."""
    inputs = np.concatenate([features.astype(np.float64), np.ones((len(features), 1))], axis=1)
    residuals = np.full((len(labels), classes), 1 / classes)
    residuals[np.arange(len(labels)), labels] -= 1
    gradient = residuals.T @ inputs / len(inputs)
    return Scale(
        rows=rows,
        width=features.shape[1],
        classes=classes,
        logits=math.sqrt(np.mean((inputs @ gradient.T) ** 2)),
        gradient=float(np.linalg.norm(gradient)),
        square=float(np.mean(np.sum(inputs**2, axis=1))),
    )


def weight_decays(logits: float) -> list[str]:
    """Return labels of λ, the largest first: half decades down from the one nearest to s."""
    top = round(2 * math.log10(logits))
    return [_label(top - step) for step in range(VALUES)]


def _label(half_decades: int) -> str:
    whole, half = divmod(half_decades, 2)
    return f"{'3.162' if half else '1'}e{whole}"


def optimizer(scale: Scale) -> dict[str, object]:
    """Return a training recipe of a linear model: its optimum, or SGD for large data."""
    if scale.rows * scale.width * scale.classes <= EXACT_WORK:
        norm = float(f"1e{math.floor(math.log10(ACCURACY * scale.gradient))}")
        return {"algorithm": {"kind": "exact", "gradient_norm": norm}}
    return {
        "algorithm": {"kind": "sgd", "momentum": 0.9},
        "learning_rate": float(f"{STEP / scale.square:.0e}"),
        "schedule": {"kind": "step", "step_size": 10, "gamma": 0.1},
        "batch_size": 256,
        "epochs": 30,
    }
