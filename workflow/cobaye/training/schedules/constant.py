"""The same learning rate throughout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """No options."""


def factor(options: Options, epoch: int, epochs: int) -> float:
    """Return 1."""
    return 1.0
