"""The optimum itself: full-batch Newton-CG to a stated gradient norm (engine `exact`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ENGINE = "exact"
# The keys of a training recipe that it cannot use.
REFUSES = (
    "learning_rate",
    "schedule",
    "batch_size",
    "epochs",
    "shuffle",
    "l1",
    "max_norm",
    "stop",
    "augment",
)


@dataclass(frozen=True)
class Options:
    """The solver and when it stops.

    gradient_norm: ‖∇J‖₂ at which the solver stops. dtype: of J and its gradient. warm_start: begin
    at the optimum of the next larger λ of the study, rather than at the initial weights.
    max_iterations: steps of the solver.
    """

    gradient_norm: float = 1e-6
    dtype: Literal["float32", "float64"] = "float64"
    warm_start: bool = False
    max_iterations: int = 500

    def __post_init__(self):
        if not self.gradient_norm > 0:
            raise ValueError(f"gradient_norm must be above 0, not {self.gradient_norm}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be 1 or more, not {self.max_iterations}")
