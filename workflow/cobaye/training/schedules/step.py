"""Times `gamma` after every `step_size` epochs, as torch's StepLR."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Its steps."""

    #: Epochs between two steps.
    step_size: int = 30
    #: Factor of each step.
    gamma: float = 0.1

    def __post_init__(self):
        if not (self.step_size >= 1 and 0 < self.gamma <= 1):
            raise ValueError(
                f"step_size must be at least 1 and gamma above 0 and at most 1, not "
                f"{self.step_size} and {self.gamma}"
            )


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return gamma^⌊(epoch − 1) / step_size⌋."""
    return options.gamma ** ((epoch - 1) // options.step_size)
