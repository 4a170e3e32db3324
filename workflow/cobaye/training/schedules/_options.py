"""What options of schedules share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decay:
    """Options of schedules that decay."""

    #: Rate of the decay, per epoch.
    decay: float = 0.05

    def __post_init__(self):
        if not self.decay >= 0:
            raise ValueError(f"decay must be at least 0, not {self.decay}")
