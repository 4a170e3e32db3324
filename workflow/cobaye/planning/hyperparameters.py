"""The hyperparameters that a grid varies, as columns of a table. No torch here."""

from __future__ import annotations

from typing import Any

from cobaye import recipes
from cobaye.recipes.study import Grid, Study


def of_study(study: Study) -> dict[str, Any] | None:
    """Return what a study varies, entry by entry, and the epochs read off its runs; None: nothing.

    That is {"models": entry → column → value, "optimizers": the same, "epochs": optimizer → numbers
    of epochs}.
    """
    return None if study.grid is None else trials(study)


def trials(study: Study) -> dict[str, Any]:
    """Return the same of any study: without a grid, nothing varies, and all epochs are read."""
    readings = study.grid.epochs if study.grid else {}
    epochs = {
        name: readings.get(name, (optimizer.epochs,))
        for name, optimizer in study.optimizers.items()
    }
    return {**columns(study), "epochs": epochs}


def columns(study: Study) -> dict[str, dict[str, dict[str, Any]]]:
    """Return package → entry → column → value of every field that a study's grid varies.

    A column is named for the last part of its field, and a list has one for each of its places:
    ``widths`` is `width`, or `width_1`, `width_2`, … with several hidden layers.
    """
    grid = study.grid or Grid((), (), {}, {})
    names = _column_names(grid)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for package, fields, entries in [
        ("models", grid.models, study.models),
        ("optimizers", grid.optimizers, study.optimizers),
    ]:
        found[package] = {entry: {} for entry in entries}
        for field in fields:
            values = {entry: _value(recipe, field) for entry, recipe in entries.items()}
            longest = max(
                (len(v) for v in values.values() if isinstance(v, list | tuple)), default=0
            )
            for entry, value in values.items():
                found[package][entry] |= _spread(names[package, field], value, longest)
    return found


def _column_names(grid: Grid) -> dict[tuple[str, str], str]:
    fields = [("models", each) for each in grid.models]
    fields += [("optimizers", each) for each in grid.optimizers]
    short = [each.removesuffix(".kind").rpartition(".")[2] for _, each in fields]
    return {
        own: name if short.count(name) == 1 else ".".join(own)
        for own, name in zip(fields, short, strict=True)
    }


def _spread(column: str, value: Any, longest: int) -> dict[str, Any]:
    if not longest:
        return {column: _plain(value)}
    value = value or ()
    one = column.removesuffix("s")
    if longest == 1:
        return {one: _plain(value[0]) if value else None}
    padded = [*value, *[None] * (longest - len(value))]
    return {f"{one}_{place}": _plain(each) for place, each in enumerate(padded, start=1)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.kind if isinstance(value, recipes.Kind) else str(value)


def _value(recipe: Any, field: str) -> Any:
    for part in field.split("."):
        if isinstance(recipe, recipes.Kind) and part in recipe.options:
            recipe = recipe.options[part]
        else:
            recipe = getattr(recipe, part, None)
    return recipe
