"""What thins the training classes of a dataset."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LongTail:
    """Training classes thinned to exponential sizes: `data.datasets._long_tail`."""

    #: Imbalance factor: training images of the largest class over those of the smallest, above 1.
    imbalance: float
    #: Seed of the order of the classes by size, and of the images that each keeps.
    seed: int = 0

    def __post_init__(self):
        if not self.imbalance > 1:
            raise ValueError(f"imbalance must be above 1, not {self.imbalance}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
