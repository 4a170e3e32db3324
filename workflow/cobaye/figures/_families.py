"""Families: runs by optimizer family (colour) and by level within the family (dashes).

An optimizer named ``layca-2`` is level 2 of the family ``layca``, and ``l1-1e-4`` level 1e-4 of
``l1``. One without such an ending is a family of its own. The levels of a family are ordered as the
config lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.lines import Line2D

from cobaye.figures import _style

RUN = ["model", "optimizer", "weight_decay"]
LEVEL = re.compile(r"(.+?)-(?:\d+e-)?\d+")
_COLOURS = _style.COLOURS[1:]
_MARKERS = ("o", "s", "^", "D", "v", "P")
INITIAL = {"color": _style.GREY, "linestyle": (0, (2, 1.2)), "linewidth": 1.3}


class Member(NamedTuple):
    """The runs of one (model, optimizer, λ), all seeds; place: the level; levels: their number."""

    model: str
    optimizer: str
    weight_decay: str
    label: str
    number: int
    place: int
    levels: int

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the member's rows of a table."""
        matching = table["model"] == self.model
        matching &= table["optimizer"] == self.optimizer
        return table[matching & (table["weight_decay"].astype(str) == self.weight_decay)]

    @property
    def color(self) -> str:
        """The colour of the family."""
        return _COLOURS[self.number % len(_COLOURS)]

    @property
    def marker(self) -> str:
        """The marker of the family."""
        return _MARKERS[self.number % len(_MARKERS)]

    def look(self) -> dict[str, Any]:
        """Return colour, dashes and width of the member's lines."""
        # The last level, as a rule the best, is solid; those before it are ever more broken.
        dashes = _style.DASHES[(self.levels - 1 - self.place) % len(_style.DASHES)]
        return {"color": self.color, "linestyle": dashes, "linewidth": 1.2}

    def handle(self) -> Line2D:
        """Return the member's legend entry."""
        return Line2D([], [], label=self.label, **self.look())


Families = dict[str, list[Member]]


def families(table: pd.DataFrame, wanted: str = "") -> Families:
    """Return family → members, from a table with one row or more per run; wanted: one family alone.

    Where a study has several models, a family is of one model and its name says which. Members
    whose runs all diverged are named so, if the table has the column ``finite``.
    """
    groups: dict[str, list[tuple[str, str, str]]] = {}
    keys = [tuple(map(str, key)) for key in table[RUN].drop_duplicates().itertuples(index=False)]
    several = len({model for model, _, _ in keys}) > 1
    for model, optimizer, weight_decay in keys:
        matched = LEVEL.fullmatch(optimizer)
        family = matched[1] if matched else optimizer
        name = f"{model} · {family}" if several else family
        groups.setdefault(name, []).append((model, optimizer, weight_decay))
    lost = _diverged(table)
    members = {
        name: [
            Member(*key, _label(key, group, several) + lost.get(key, ""), number, place, len(group))
            for place, key in enumerate(group)
        ]
        for number, (name, group) in enumerate(groups.items())
    }
    return {name: family for name, family in members.items() if wanted in ("", name)}


def _diverged(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return the addition to the names of members whose runs all diverged."""
    if "finite" not in table:
        return {}
    finite = table["finite"].astype(bool).groupby([table[key].astype(str) for key in RUN]).any()
    return dict.fromkeys(finite.index[~finite], " (diverged)")


def _label(key: tuple[str, str, str], family: list[tuple[str, str, str]], several: bool) -> str:
    model, optimizer, weight_decay = key
    label = f"{model} · {optimizer}" if several else optimizer
    alike = sum(other == optimizer for _, other, _ in family) > 1
    return f"{label}, λ = {weight_decay}" if alike else label


def handles(families: Mapping[str, list[Member]]) -> list[Line2D]:
    """Return the legend entries of all members, family by family."""
    return [member.handle() for members in families.values() for member in members]
