"""The draws and levels of an analysis, which several kinds have as options."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Draws:
    """The draws and the intervals."""

    #: Draws of each bootstrap.
    draws: int = 2000
    #: Level of all intervals and bands.
    level: float = 0.95
    #: Seed of all draws.
    seed: int = 0

    def __post_init__(self):
        if self.draws < 100:
            raise ValueError("draws: at least 100")
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level: {self.level} is not in [0.5, 1)")
        if self.seed < 0:
            raise ValueError("seed: not below 0")
