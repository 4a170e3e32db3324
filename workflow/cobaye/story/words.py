"""Words and numbers of a story, as the filters of its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def _round_to(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _signed(interval: Sequence[float], digits: int) -> str:
    """Return a mean with its interval; NaN ends, of one image per class, are left out."""
    mean, low, high = (f"{value:+.{digits}f}".replace("-", "−") for value in interval)
    return mean if pd.isna(interval[1]) else f"{mean} ({low} to {high})"


def _gain(row: Mapping[str, float]) -> str:
    return _signed([row[name] for name in ("gain", "low", "high")], 4)


def _spread(interval: Sequence[float], digits: int) -> str:
    """Return a value with its interval, without a plus."""
    value, low, high = (_round_to(each, digits) for each in interval)
    return value if pd.isna(interval[1]) else f"{value} ({low} to {high})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rivals as a table in Markdown."""
    head = ["rival", "chosen on val", "loss (nats)", "accuracy (points)", "worst tenth (points)"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        values = [_signed(row["loss"], 4), _signed(row["accuracy"], 1), _signed(row["tenth"], 1)]
        lines.append([row["name"], str(row["chosen"]), *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _names(names: Sequence[str], none: str, one: str, several: str) -> str:
    """Return names with their verb, in the number that they need."""
    return f"{', '.join(names)} {one if len(names) == 1 else several}" if names else none


def _ends(row: Mapping[str, float]) -> str:
    return f"{row['low']:+.4f} to {row['high']:+.4f}".replace("-", "−")


def _shares(counts: Sequence[float], whole: float) -> str:
    """Return a share with its band, in %."""
    share, low, high = (_share(count, whole) for count in counts)
    return f"{share} ({low} to {high})"


def _share(number: float, whole: float = 1) -> str:
    """Return a share in %: 0 % means none, and 100 % all."""
    share = 100 * number / whole
    if 0 < share < 0.5:
        return "< 1 %"
    return "> 99 %" if 99.5 <= share < 100 else f"{share:.0f} %"


def _count(number: float, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{int(number)} {thing if number == 1 else plural}"


def _some(names: Sequence[str], classes: int) -> str:
    """Return how many classes these are, and the names of the first few."""
    if not names:
        return "none"
    first = ", ".join(f"“{name}”" for name in names[:5])
    return f"{len(names)} of {classes} ({first}{' …' if len(names) > 5 else ''})"


FILTERS = {
    "count": _count,
    "ends": _ends,
    "extract": lambda key, mapping: mapping[key],
    "gain": _gain,
    "names": _names,
    "round_to": _round_to,
    "share": _share,
    "shares": _shares,
    "signed": _signed,
    "some": _some,
    "spread": _spread,
    "table": _table,
}
