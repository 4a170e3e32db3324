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
    for side, there, neighbour in [
        ("smallest", ordered[0], ordered[1]),
        ("largest", ordered[-1], ordered[-2]),
    ]:
        share = own.count(there) / max(len(own), 1)
        if (there == best or share > SHARE) and float(there) > 0:
            found.append(End(side, there, there == best, share, _beyond(there, neighbour)))
    return found


def _beyond(there: str, neighbour: str) -> tuple[str, ...]:
    """Return labels beyond the end of a grid, in its own steps."""
    end, inner = float(there), float(neighbour)
    smaller = end < inner
    ratio = end / inner if inner > 0 else HALF_DECADE
    values = [end * ratio**step for step in range(1, MORE + 1)]
    within = [value for value in values if (value >= SMALLEST if smaller else value <= LARGEST)]
    return tuple(label(value) for value in within)


def label(value: float, digits: int = 4) -> str:
    """Return a λ that no config wrote as configs write it, with so many digits at most."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def beside_axis(found: Sequence[End], one: str = "λ") -> str:
    """Return what a figure says at its axis of λ, a line per end; nothing without one.

    one: what the axis is of, where it is not λ.
    """
    said = [
        f"{one} = {end.label} ends the grid:\na {_other(end)} one may be better"
        for end in found
        if end.more
    ]
    return "\n".join(said)


def _other(end: End) -> str:
    return "smaller" if end.side == "smallest" else "larger"


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
        other = _other(end)
        if not end.more:
            said.append(f"{', and '.join(there)}: no {other} one is within the bounds.")
            continue
        labels = ", ".join(f'"{label}"' for label in end.more)
        said.append(
            f"{', and '.join(there)}: a {other} one may be better. Add {labels} to "
            f"`weight_decays` of config/studies/{study}.yaml, or run `cobaye widen {study}`."
        )
    return said
