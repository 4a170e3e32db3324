"""The ends of a grid of λ: whether the best λ stand there, and which λ lie beyond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# At an end if the best λ overall is there, or more than this share of the classes' own λ.
SHARE = 0.1
# At most so many λ at a time, and none outside these bounds.
MORE, SMALLEST, LARGEST = 4, 1e-12, 1e6
# Between two λ, where the grid does not say.
HALF_DECADE = 10**0.5


@dataclass(frozen=True)
class End:
    """An end of a grid at which λ are missing.

    side: "largest" or "smallest". label: the λ there. overall: whether it is the best overall.
    share: of the classes whose own λ is there. more: labels of λ beyond it, the nearest first.
    """

    side: str
    label: str
    overall: bool
    share: float
    more: tuple[str, ...]


def ends(best: str, own: Iterable[str], grid: Sequence[str]) -> list[End]:
    """Return the ends at which the best λ stand; nothing is below λ = 0.

    best: the best λ overall. own: each class's own, shrunk. grid: the labels of one configuration.
    """
    ordered, own = sorted(grid, key=float), list(own)
    if len(ordered) < 2:
        return []
    found = []
    for side, label, neighbour in [
        ("smallest", ordered[0], ordered[1]),
        ("largest", ordered[-1], ordered[-2]),
    ]:
        share = own.count(label) / max(len(own), 1)
        if (label == best or share > SHARE) and float(label) > 0:
            found.append(End(side, label, label == best, share, _beyond(label, neighbour)))
    return found


def _beyond(label: str, neighbour: str) -> tuple[str, ...]:
    """Return labels beyond the end of a grid, in its own steps."""
    end, inner = float(label), float(neighbour)
    smaller = end < inner
    ratio = end / inner if inner > 0 else HALF_DECADE
    values = [end * ratio**step for step in range(1, MORE + 1)]
    within = [value for value in values if (value >= SMALLEST if smaller else value <= LARGEST)]
    return tuple(_label(value) for value in within)


def _label(value: float) -> str:
    """Return a λ as configs write it: four digits at most."""
    digits, exponent = f"{value:.3e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def sentences(study: str, found: Sequence[End], classes: int) -> list[str]:
    """Return what to say of each end, and the line that widens the grid."""
    said = []
    for end in found:
        there = []
        if end.overall:
            there.append(f"It is the {end.side} λ of the study")
        if end.share > SHARE:
            count = round(end.share * classes)
            where = "there" if end.overall else f"at its {end.side} λ, {end.label}"
            there.append(f"{count} of {classes} classes have their own λ {where}")
        other = "smaller" if end.side == "smallest" else "larger"
        if not end.more:
            said.append(f"{', and '.join(there)}: no {other} one is within the bounds.")
            continue
        labels = ", ".join(f'"{label}"' for label in end.more)
        said.append(
            f"{', and '.join(there)}: a {other} one may be better. Add {labels} to "
            f"`weight_decays` of config/studies/{study}.yaml, or run `cobaye widen {study}`."
        )
    return said
