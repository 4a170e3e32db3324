"""Names of kinds, figures, tables and files over another axis than λ: ``classes-over-epoch``."""

from __future__ import annotations

from typing import Any

_BETWEEN = "-over-"
# Constants of a kind whose names get the axis of a variant.
NAMED = ("NAMES", "TABLES")


def over(name: str, axis: str) -> str:
    """Return the name over an axis of a kind, a figure, a table or a table's file."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}{_BETWEEN}{axis.replace('_', '-')}{dot}{suffix}"


def without_axis(name: str) -> str:
    """Return what `over` was given; other names as they are."""
    return name.partition(_BETWEEN)[0]


def axis(name: str) -> str | None:
    """Return the axis of a name that `over` made, None of other names."""
    return name.partition(_BETWEEN)[2].replace("-", "_") or None


def all_over(named: Any, of_axis: str) -> Any:
    """Return names over an axis; of a mapping from names, texts are names too."""
    if isinstance(named, dict):
        return {
            over(key, of_axis): over(value, of_axis) if isinstance(value, str) else value
            for key, value in named.items()
        }
    return tuple(over(each, of_axis) for each in named)
