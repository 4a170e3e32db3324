"""The axes along which runs, or states of a run, are compared class by class; λ is the default."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Literal

from cobaye.recipes import OMITTED, Optimizer

AxisName = Literal["weight_decay", "epoch", "learning_rate", "augmentation", "plane"]
DEFAULT: AxisName = "weight_decay"
# Axes along which optimizers are compared, see `families`; each place of the last is a pair.
FAMILIES = ("learning_rate", "augmentation", "plane")
PLANE = "plane"
_BETWEEN = ", "
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
        Axis("augmentation", "strength", "strengths", "strength of the augmentation"),
        Axis(PLANE, "pair", "pairs", "strength of the augmentation and λ"),
    )
}


@dataclasses.dataclass(frozen=True)
class Over:
    """The options of an analysis that works over any axis."""

    #: What each class may have a value of its own of: a list. `weight_decay`: λ. `epoch`: that at
    #: which training stops, read off the checkpoints of the best λ. `learning_rate`: that of
    #: optimizers that differ in it alone, at the λ of the best of their runs. `augmentation`: a
    #: number in one step of `augment`, in the same way. `plane`: that number and λ, as pairs.
    #: Tables and figures over `epoch` are named `class-effects-over-epoch`, `answer-over-epoch`.
    over: tuple[AxisName, ...] = dataclasses.field(default=(DEFAULT,), metadata=OMITTED)
    #: Epochs of the axis `epoch`, as kept by `keep`; by default up to twelve, in equal ratios, and
    #: the last. One that a run does not have, as it stopped before, is left out.
    epochs: tuple[int, ...] = dataclasses.field(default=(), metadata=OMITTED)


def pair(strength: str, weight_decay: str) -> str:
    """Return the label of a place in the plane."""
    return _BETWEEN.join([strength, weight_decay])


def parts(label: str) -> list[str]:
    """Return the strength and the λ of a label that `pair` made; of others the label alone."""
    return label.split(_BETWEEN)


def numbers(label: str) -> tuple[float, ...]:
    """Return the numbers of a label, by which labels are sorted."""
    return tuple(map(float, parts(label)))


def families(optimizers: Mapping[str, Optimizer], axis: str) -> list[dict[str, str]]:
    """Return the groups of optimizers that differ alone in what the axis is of.

    Each maps values, as text, to names of optimizers; it has two or more, rising.
    """
    found: dict[Hashable, dict[float, str]] = {}
    for name, optimizer in optimizers.items():
        for rest, value in _without(optimizer, axis):
            found.setdefault(rest, {}).setdefault(value, name)
    several = [values for values in found.values() if len(values) > 1]
    return [{f"{value:.12g}": values[value] for value in sorted(values)} for values in several]


def _without(optimizer: Optimizer, axis: str) -> Iterator[tuple[Hashable, float]]:
    """Yield what an optimizer is but for one number, as text, and the number."""
    if axis == "learning_rate":
        if optimizer.learning_rate is not None and not optimizer.phases:
            yield repr(dataclasses.replace(optimizer, learning_rate=None)), optimizer.learning_rate
        return
    for place, step in enumerate(optimizer.augment):
        for key, value in step.options.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                rest = dataclasses.replace(step, options={**step.options, key: None})
                steps = (*optimizer.augment[:place], rest, *optimizer.augment[place + 1 :])
                yield repr(dataclasses.replace(optimizer, augment=steps)), value
