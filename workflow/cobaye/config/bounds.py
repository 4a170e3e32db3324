"""The bounds of a kind's options, as its own check shows them.

Kinds state limits in ``__post_init__``, where an error can say why. So the bounds are found by
asking it: a number that it accepts beside the next one that it refuses.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from cobaye import kinds

# Beyond these, what is accepted counts as unbounded.
FAR = {int: 2**62, float: 1e300}


def bounds(family: str, kind: str) -> dict[str, dict[str, float]]:
    """Return option → JSON Schema's keywords of its bounds, for the numbers among the options.

    A bound that moves with another option is left out: the meaning of the option states it.
    """
    cls = kinds.options(family, kind)
    given = _defaults(cls) | kinds.constant(family, kind, "EXAMPLE", {})
    numbers = {key: value for key, value in given.items() if type(value) in FAR}
    numbers |= {f.name: 64 for f in dataclasses.fields(cls) if given.get(f.name, 0) is None}
    shifted = [given | {key: value} for key, old in numbers.items() for value in _others(old)]
    return {key: _common(cls, key, value, [given, *shifted]) for key, value in numbers.items()}


def _defaults(cls: type) -> dict[str, Any]:
    missing = dataclasses.MISSING
    plain = {f.name: f.default for f in dataclasses.fields(cls) if f.default is not missing}
    made = {
        f.name: f.default_factory()
        for f in dataclasses.fields(cls)
        if f.default_factory is not missing
    }
    return plain | made


def _others(value: float) -> list[float]:
    """Return other values of an option, on which its neighbours' bounds must not depend."""
    return [value * 2 + 1, value * 0.5] if isinstance(value, float) else [value * 2 + 1, value // 2]


def _common(
    cls: type, key: str, value: float, settings: list[Mapping[str, Any]]
) -> dict[str, float]:
    """Return the bounds of an option that are the same whatever the others are."""
    found = []
    for setting in settings:
        rest = {name: each for name, each in setting.items() if name != key}
        if _accepts(cls, rest | {key: value}):
            found.append(_of(lambda tried, rest=rest: _accepts(cls, rest | {key: tried}), value))
    return {
        word: bound for word, bound in found[0].items() if all(f.get(word) == bound for f in found)
    }


def _accepts(cls: type, given: Mapping[str, Any]) -> bool:
    try:
        cls(**given)
    except (ValueError, ArithmeticError):
        return False
    return True


def _of(accepts: Callable[[float], bool], inside: float) -> dict[str, float]:
    """Return the bounds on both sides of a value that is accepted."""
    found = {}
    for sign, closed, opened in (
        (-1, "minimum", "exclusiveMinimum"),
        (1, "maximum", "exclusiveMaximum"),
    ):
        far = sign * FAR[type(inside)]
        if not accepts(far):
            last, refused = _edge(accepts, inside, far)
            whole = type(inside) is int or len(repr(last)) <= len(repr(refused))
            found |= {closed: last} if whole else {opened: refused}
    return {word: int(bound) if bound == int(bound) else bound for word, bound in found.items()}


def _edge(accepts: Callable[[float], bool], inside: float, outside: float) -> tuple[float, float]:
    """Return the last number that is accepted and the first that is not, by halving."""
    rank, value = (int, int) if type(inside) is int else (_rank, _value)
    good, bad = rank(inside), rank(outside)
    while abs(bad - good) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if accepts(value(middle)) else (good, middle)
    return value(good), value(bad)


def _rank(number: float) -> int:
    """Return the place of a float among all floats."""
    [bits] = struct.unpack("<q", struct.pack("<d", abs(number)))
    return int(math.copysign(1, number)) * bits


def _value(rank: int) -> float:
    [number] = struct.unpack("<d", struct.pack("<q", abs(rank)))
    return math.copysign(number, rank)
