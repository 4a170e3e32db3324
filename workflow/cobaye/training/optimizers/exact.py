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
    """The solver and when it stops."""

    #: The norm ‖∇J‖₂ at which it stops.
    gradient_norm: float = 1e-6
    #: Precision of J, of its gradient and of the checkpoint; `float32` does not reach every
    #: gradient norm. Hessian products are in float32 in both cases: they decide only the direction
    #: of a step.
    dtype: Literal["float32", "float64"] = "float64"
    #: Whether it begins at the optimum of the study's next larger λ. This takes fewer passes, but
    #: the jobs run one after the other. Otherwise jobs are independent and begin at the seed's
    #: initial weights.
    warm_start: bool = False
    #: Largest number of steps. At λ = 0 there may be no minimiser (separable data). Such a run ends
    #: after this number of steps, or where its gradient is small enough, and `stopped` states
    #: which.
    max_iterations: int = 500

    def __post_init__(self):
        if not self.gradient_norm > 0:
            raise ValueError(f"gradient_norm must be above 0, not {self.gradient_norm}")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations must be 1 or more, not {self.max_iterations}")
