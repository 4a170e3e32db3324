"""The axes along which runs, or states of a run, are compared class by class; λ is the default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from cobaye.recipes import OMITTED, Optimizer

AxisName = Literal["weight_decay", "epoch", "learning_rate"]
DEFAULT: AxisName = "weight_decay"
# Epochs of an axis whose study names none.
EPOCHS = 12


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis. name: of its column in tables. one, many: in short. title: in figures.

    least: the smallest value that there can be.
    """

    name: str
    one: str
    many: str
    title: str
    least: float = 0.0


AXES = {
    axis.name: axis
    for axis in (
        Axis("weight_decay", "λ", "λ", "weight decay λ"),
        Axis("epoch", "epoch", "epochs", "epoch at which training stops", 1.0),
        Axis("learning_rate", "learning rate", "rates", "learning rate"),
    )
}


@dataclasses.dataclass(frozen=True)
class Over:
    """The options of an analysis that works over any axis."""

    #: What each class may have a value of its own of: a list. `weight_decay`: λ. `epoch`: that at
    #: which training stops, read off the checkpoints of the best λ. `learning_rate`: that of
    #: optimizers that differ in it alone, at the λ of the best of their runs. Tables and figures
    #: over `epoch` are named `class-effects-over-epoch`, `answer-over-epoch`.
    over: tuple[AxisName, ...] = dataclasses.field(default=(DEFAULT,), metadata=OMITTED)
    #: Epochs of the axis `epoch`, as kept by `keep`; by default up to twelve, in equal ratios, and
    #: the last. One that a run does not have, as it stopped before, is left out.
    epochs: tuple[int, ...] = dataclasses.field(default=(), metadata=OMITTED)


def families(optimizers: Mapping[str, Optimizer]) -> list[dict[str, str]]:
    """Return the groups of optimizers that differ in their learning rate alone.

    Each maps learning rates, as text, to names of optimizers; it has two or more, rising.
    """
    found: list[tuple[Optimizer, dict[float, str]]] = []
    for name, optimizer in optimizers.items():
        if optimizer.learning_rate is None or optimizer.phases:
            continue
        rest = dataclasses.replace(optimizer, learning_rate=None)
        rates = next((rates for other, rates in found if other == rest), None)
        if rates is None:
            found.append((rest, rates := {}))
        rates.setdefault(optimizer.learning_rate, name)
    several = [rates for _, rates in found if len(rates) > 1]
    return [{f"{rate:.12g}": rates[rate] for rate in sorted(rates)} for rates in several]
