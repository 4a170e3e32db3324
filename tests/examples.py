"""A tiny example of a kind, which the generic tests of its family run on."""

from __future__ import annotations

from typing import Any

from cobaye import kinds, recipes


def example(family: str, name: str, /, **given: Any) -> recipes.Kind:
    """Return a kind with options as a config gives them; without any, those of its EXAMPLE."""
    given = given or kinds.constant(family, name, "EXAMPLE", {})
    return recipes.Kind(name, recipes.plain(kinds.options(family, name)(**given)))


def parsed(family: str, name: str, /, **given: Any) -> Any:
    """Return the same as an ``Options``."""
    return recipes.parse(kinds.options(family, name), example(family, name, **given).options)
