"""Families: runs by optimizer family (colour) and by level within the family (dashes).

An optimizer named ``layca-2`` is level 2 of the family ``layca``; one without such an ending is a
family of its own. The levels of a family are ordered as the config lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.lines import Line2D

from cobaye.figures import _style

RUN = ["model", "optimizer", "weight_decay"]
LEVEL = re.compile(r"(.+)-\d+")
# The last level, as a rule the best, is solid; those before it are ever more broken.
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
INITIAL = {"color": _style.GREY, "linestyle": (0, (2, 1.2)), "linewidth": 1.3}


class Member(NamedTuple):
    """The runs of one (model, optimizer, λ), all seeds; place: its level; of: how many levels."""

    model: str
    optimizer: str
    weight_decay: str
    label: str
    number: int
    place: int
    of: int

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return its rows of a table."""
        found = table["model"] == self.model
        found &= table["optimizer"] == self.optimizer
        return table[found & (table["weight_decay"].astype(str) == self.weight_decay)]

    @property
    def color(self) -> str:
        """The colour of its family."""
        return _COLOURS[self.number % len(_COLOURS)]

    @property
    def marker(self) -> str:
        """The marker of its family."""
        return _MARKERS[self.number % len(_MARKERS)]

    def look(self) -> dict[str, Any]:
        """Return colour, dashes and width of its lines."""
        dashes = _DASHES[(self.of - 1 - self.place) % len(_DASHES)]
        return {"color": self.color, "linestyle": dashes, "linewidth": 1.2}

    def handle(self) -> Line2D:
        """Return its legend entry."""
        return Line2D([], [], label=self.label, **self.look())


Families = dict[str, list[Member]]


def families(table: pd.DataFrame, wanted: str = "") -> Families:
    """Return family → members, as a table with one row or more per run has them; wanted: one alone.

    Where a study has several models, each has families of its own, named with it. A table that says
    which runs are ``finite`` has those of which none is called diverged.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    keys = [tuple(map(str, key)) for key in table[RUN].drop_duplicates().itertuples(index=False)]
    several = len({model for model, _, _ in keys}) > 1
    for model, optimizer, weight_decay in keys:
        matched = LEVEL.fullmatch(optimizer)
        family = matched[1] if matched else optimizer
        name = f"{model} · {family}" if several else family
        found.setdefault(name, []).append((model, optimizer, weight_decay))
    lost = _diverged(table)
    made = {
        name: [
            Member(*key, _label(key, own, several) + lost.get(key, ""), number, place, len(own))
            for place, key in enumerate(own)
        ]
        for number, (name, own) in enumerate(found.items())
    }
    return {name: own for name, own in made.items() if wanted in ("", name)}


def _diverged(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return what is added to the names of those of which every run diverged."""
    if "finite" not in table:
        return {}
    finite = table["finite"].astype(bool).groupby([table[key].astype(str) for key in RUN]).any()
    return dict.fromkeys(finite.index[~finite], " (diverged)")


def _label(key: tuple[str, str, str], own: list[tuple[str, str, str]], several: bool) -> str:
    model, optimizer, weight_decay = key
    label = f"{model} · {optimizer}" if several else optimizer
    alike = sum(each[1] == optimizer for each in own) > 1
    return f"{label}, λ = {weight_decay}" if alike else label


def handles(found: Mapping[str, list[Member]]) -> list[Line2D]:
    """Return the legend entries of all members, family by family."""
    return [member.handle() for own in found.values() for member in own]
