"""Grids: entries of `models` and `optimizers` that list values for some of their fields.

``grid: {learning_rate: [0.1, 0.01], algorithm.momentum: [0, 0.9]}`` stands for the product of its
lists, as entries with readable names (``sgd-lr0.1-momentum0``), the first field varying slowest.
`epochs` is not varied by the product: a training passes through all smaller numbers of epochs on
its way to the largest, so one entry trains for the largest and its checkpoints serve the others.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds
from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Derived, Grid, Study

# Abbreviations of fields in the names of entries.
SHORT = {"learning_rate": "lr", "batch_size": "batch", "widths": "w"}
# Fields that hold a kind, with its family.
KINDS = {"algorithm": "optimizers", "schedule": "schedules"}
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE)


def expand(content: Mapping[str, Any], file: Path) -> tuple[dict[str, Any], Grid | None]:
    """Return a study file's content with each grid replaced by its entries, and what grids vary.

    The second is None where no entry has a grid. Raises ConfigError for an unknown field, a list
    without values, and values or entries that get equal names. Values are checked with the entries.
    """
    content, varied = dict(content), {"models": {}, "optimizers": {}}
    readings: dict[str, tuple[int, ...]] = {}
    models: dict[str, tuple[str, ...]] = {}
    for section, fields in varied.items():
        if not isinstance(content.get(section), dict):
            continue
        entries: dict[str, Any] = {}
        for name, entry in content[section].items():
            expanded = {name: entry}
            if isinstance(entry, dict) and "grid" in entry:
                where = f"{file}: {section}.{name}.grid"
                entry, epochs = _without_epochs(section, entry, where)
                fields.update(dict.fromkeys(entry["grid"]))
                expanded = _product(name, entry, section, file)
                readings.update(dict.fromkeys(expanded, epochs) if epochs else {})
            for each in expanded:
                if each in entries:
                    raise ConfigError(f"{file}: {section}.{each}: two entries get this name")
            entries |= expanded
            if section == "models":
                models[name] = tuple(expanded)
        content[section] = entries
    if not (any(varied.values()) or readings):
        return content, None
    return content, Grid(tuple(varied["models"]), tuple(varied["optimizers"]), readings, models)


def _without_epochs(
    section: str, entry: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return an entry without epochs in its grid, which trains for the largest, and all, sorted."""
    grid = entry["grid"]
    if not isinstance(grid, dict) or not grid:
        raise ConfigError(f"{where}: {grid!r}: expected fields, each with a list of values")
    grid = {field: _values(values, f"{where}.{field}") for field, values in grid.items()}
    if section != "optimizers" or "epochs" not in grid:
        return {**entry, "grid": grid}, ()
    epochs = grid["epochs"]
    if any(type(each) is not int or each < 1 for each in epochs) or len(set(epochs)) < len(epochs):
        raise ConfigError(f"{where}.epochs: {epochs}: expected different numbers of at least 1")
    rest = {field: values for field, values in grid.items() if field != "epochs"}
    return {**entry, "grid": rest, "epochs": max(epochs)}, tuple(sorted(epochs))


def _values(given: Any, where: str) -> list[Any]:
    """Return a field's values: a list, or ``{product: [[a, b], [c]]}``, a list per combination."""
    values = given
    if (
        isinstance(given, dict)
        and list(given) == ["product"]
        and isinstance(given["product"], list)
    ):
        parts = given["product"]
        values = all(isinstance(each, list) for each in parts) and itertools.product(*parts)
        values = [list(each) for each in values or ()]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}: {given!r}: expected a list of one or more values")
    return values


def _product(name: str, entry: Mapping[str, Any], section: str, file: Path) -> dict[str, Any]:
    grid, base = entry["grid"], {key: value for key, value in entry.items() if key != "grid"}
    where = f"{section}.{name}.grid"
    for field in grid:
        _refuse_field(field, base, section, file, where)
    entries: dict[str, Any] = {}
    for values in itertools.product(*grid.values()):
        expanded = copy.deepcopy(base)
        for field, value in zip(grid, values, strict=True):
            _put(expanded, str(field), value, f"{file}: {where}")
        parts = [_part(field, value) for field, value in zip(grid, values, strict=True)]
        label = "-".join([str(name), *parts])
        if label in entries:
            raise ConfigError(f"{file}: {where}: two of its values give the name {label!r}")
        entries[label] = expanded
    return entries


def _refuse_field(
    field: Any, entry: Mapping[str, Any], section: str, file: Path, where: str
) -> None:
    """Refuse an unknown field of an entry, or of its algorithm or schedule."""
    head, _, rest = str(field).partition(".")
    if section == "optimizers":
        known: list[str] = list(schema.OptimizerEntry.model_fields)
    else:
        known = ["kind", *schema.ModelEntry.model_fields]
        known += _options("networks", entry.get("kind"))
    schema.refuse_unknown(head, known, file, where, "field")
    kind = entry.get(head, {"kind": "constant"}) if head in KINDS else None
    if rest and isinstance(kind, dict) and f"{head}.kind" not in entry.get("grid", {}):
        inner = ["kind", *_options(KINDS[head], kind.get("kind"))]
        schema.refuse_unknown(rest, inner, file, f"{where}.{head}", "field")


def _options(family: str, kind: Any) -> list[str]:
    if kind not in kinds.names(family):
        return []
    return list(kinds.options(family, kind).__dataclass_fields__)


def _put(entry: dict[str, Any], field: str, value: Any, where: str) -> None:
    *outer, last = field.split(".")
    for key in outer:
        entry = entry.setdefault(key, {})
        if not isinstance(entry, dict):
            raise ConfigError(
                f"{where}.{field}: {key} is {entry!r} in the entry, not keys and values, so no "
                "field of it can vary"
            )
    entry[last] = copy.deepcopy(value)


def _part(field: Any, value: Any) -> str:
    """Return what a value adds to a name: ``lr0.1``, ``w64x32``, ``activation-tanh``."""
    last = str(field).rpartition(".")[2]
    label = "" if last == "kind" else SHORT.get(last, last.replace("_", "-"))
    text = _text(value)
    joint = "" if not label or text[0].isdigit() else "-"
    return f"{label}{joint}{text}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        rest = [_part(key, each) for key, each in value.items() if key != "kind"]
        return "-".join([_text(value.get("kind", "")), *rest])
    if isinstance(value, list):
        return "x".join(map(_text, value)) or "none"
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return re.sub(r"[^a-z0-9.-]+", "-", str(value).lower().replace("e+", "e")) or "none"


def pairs(
    raw: schema.StudyFile, grid: Grid | None, file: Path
) -> tuple[tuple[str, str], ...] | None:
    """Return the (model, optimizer) pairs that are trained, in the order of the config; None: all.

    An optimizer trains the `models` that it names. A `sample` draws the pairs with the smallest
    sha256 of seed and names: the draw is the same on any machine, does not depend on the order of
    the config, and a larger count adds to it.
    """
    models = grid.expansions if grid else {name: (name,) for name in raw.models}
    allowed = {}
    for name, optimizer in raw.optimizers.items():
        for each in optimizer.models or ():
            where = f"optimizers.{name}.models"
            schema.refuse_unknown(each, models, file, where, "entry of models")
        allowed[name] = {model for each in optimizer.models or models for model in models[each]}
    every = [
        pair
        for pair in itertools.product(raw.models, raw.optimizers)
        if pair[0] in allowed[pair[1]]
    ]
    for model in raw.models:
        if all(model not in named for named in allowed.values()):
            raise ConfigError(f"{file}: models.{model}: no optimizer names it in its `models`")
    if raw.sample is None:
        return tuple(every) if any(each.models for each in raw.optimizers.values()) else None
    if raw.sample.count > len(every):
        raise ConfigError(
            f"{file}: sample.count: {raw.sample.count}: there are {len(every)} pairs of a model "
            "and an optimizer"
        )
    chosen = set(sorted(every, key=lambda pair: _lot(pair, raw.sample.seed))[: raw.sample.count])
    return tuple(pair for pair in every if pair in chosen)


def _lot(pair: tuple[str, str], seed: int) -> str:
    return hashlib.sha256("/".join(["sample", str(seed), *pair]).encode()).hexdigest()


def refuse_readings(study: Study, file: Path) -> None:
    """Refuse several numbers of epochs with a schedule that depends on the number of epochs."""
    for name, epochs in (study.grid.epochs if study.grid else {}).items():
        schedule = study.optimizers[name].schedule.kind
        if len(epochs) > 1 and kinds.constant("schedules", schedule, "NEEDS_EPOCHS", False):
            raise ConfigError(
                f"{file}: optimizers.{name}: grid.epochs: {list(epochs)}: with the schedule "
                f"{schedule!r} the learning rate depends on the number of epochs, so shorter "
                "trainings are not the beginning of the longest: write an optimizer for each"
            )


def derived(raw: schema.StudyFile, grid: Grid | None, file: Path) -> tuple[Derived, ...]:
    """Return a study's derived runs; raises ConfigError where there is nothing to derive from."""
    if raw.derived and grid is None:
        raise ConfigError(f"{file}: derived: needs a model or an optimizer with a grid")
    if raw.derived and len(raw.weight_decays) > 1:
        raise ConfigError(f"{file}: derived: needs one entry in weight_decays, not several")
    runs = []
    for name, entry in raw.derived.items():
        for each in entry.among or ():
            where = f"derived.{name}.among"
            schema.refuse_unknown(each, grid.expansions, file, where, "entry of models")
        among = [
            model for each in entry.among or grid.expansions for model in grid.expansions[each]
        ]
        runs.append(Derived(name, entry.best, tuple(among), entry.epochs))
    return tuple(runs)
