"""What a study varies, and the runs that it derives from the best of that."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a study varies: fields of its models and of its optimizers.

    epochs: optimizer → the numbers of epochs that are read off its runs, the largest last. made:
    entry of `models` as written → the names of what its grid made of it.
    """

    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    epochs: dict[str, tuple[int, ...]]
    made: dict[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Derived:
    """Runs whose recipes are found in a study's table `grid`: its best, trained for more epochs.

    They are named for their places, ``<name>-1`` … ``<name>-<count>``, among these models.
    """

    name: str
    count: int
    among: tuple[str, ...]
    epochs: int

    @property
    def optimizer(self) -> str:
        """What stands in the optimizer's place of their paths."""
        return f"epochs-{self.epochs}"


def per_class_label(way: str) -> str:
    """Return what stands in the place of λ in the path of a run with a λ for each class."""
    return f"per-class-{way}"
