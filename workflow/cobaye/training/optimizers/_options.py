"""What options of optimizers share: limits, and the options of Adam. No torch."""

from __future__ import annotations

from dataclasses import dataclass


def below_one(options: object, *names: str) -> None:
    """Raise ValueError for an option outside [0, 1)."""
    for name in names:
        if not 0 <= getattr(options, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), not {getattr(options, name)}")


def not_negative(options: object, *names: str) -> None:
    """Raise ValueError for an option below 0."""
    for name in names:
        if not getattr(options, name) >= 0:
            raise ValueError(f"{name} must be at least 0, not {getattr(options, name)}")


@dataclass(frozen=True)
class Adam:
    """Options of Adam and AdamW."""

    #: Factor of the running mean of g.
    beta1: float = 0.9
    #: Factor of the running mean of g².
    beta2: float = 0.999
    #: Added to the root of the running mean of g².
    eps: float = 1e-8
    #: Whether that mean is replaced by its largest value so far (Reddi et al., 2018).
    amsgrad: bool = False

    def __post_init__(self):
        below_one(self, "beta1", "beta2")
        not_negative(self, "eps")
