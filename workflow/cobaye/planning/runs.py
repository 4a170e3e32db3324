"""The runs of a study: which are trained together, what each starts from, where they lie."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from cobaye import recipes
from cobaye.config import Config
from cobaye.errors import ConfigError
from cobaye.recipes.study import Run, Study
from cobaye.storage import files, paths

# The manifests of the two stages of a run.
MANIFESTS = ("train.json", "evaluate.json")


def refuse(config: Config, study: str, key: str, said: str) -> ConfigError:
    """Return the error for something that was asked of a study and that its file does not state."""
    return ConfigError(f"{config.folder / 'studies' / study}.yaml: {key}: {said}")


def folder(study: str, run: Run) -> str:
    """Return the folder of a run."""
    return paths.RUN.format(study=study, **vars(run))


def identity(study: str, run: Run) -> dict[str, Any]:
    """Return the identity of a run."""
    return {"study": study, **vars(run)}


def of_config(study: Study) -> dict[str, list[Run]]:
    """Return the runs of a study by where their recipe comes from: config, grid or class_decay."""
    return {
        "config": study.runs(),
        "grid": list(study.derived_runs()),
        "class-decay": list(study.per_class_runs()),
    }


@functools.cache
def origins(study: Study) -> dict[Run, str]:
    """Return where the recipe of each run of a study comes from, as in `of_config`."""
    return {run: origin for origin, runs in of_config(study).items() for run in runs}


def warm_start(study: Study, run: Run) -> Run | None:
    """Return the run that a warm start begins from: that of the next larger λ, if any."""
    if origins(study)[run] != "config":
        return None
    if not study.optimizers[run.optimizer].algorithm.options.get("warm_start"):
        return None
    larger = [
        label for label in study.decays(run.optimizer) if float(label) > float(run.weight_decay)
    ]
    return dataclasses.replace(run, weight_decay=min(larger, key=float)) if larger else None


def inspected(study: Study, states: tuple[str, ...]) -> list[tuple[Run, str]]:
    """Return every run in every state that an analysis looks at; equal initial networks once."""
    first: dict[Any, tuple[Run, str]] = {}
    for state in states:
        for run in study.runs():
            key = run if state == "trained" else _beginning(study, run)
            first.setdefault((state, key), (run, state))
    return list(first.values())


def _beginning(study: Study, run: Run) -> tuple[Any, ...]:
    """Return what an untrained network and its inputs depend on."""
    optimizer = study.optimizers[run.optimizer]
    return run.model, run.seed, optimizer.normalize, optimizer.zca_epsilon


@functools.cache
def groups(study: Study) -> dict[str, tuple[Run, ...]]:
    """Return the runs of a study that are trained together, by the names of their groups.

    Those of a group differ in widths, learning rate, schedule, momentum and λ alone. A name states
    what tells a group from the others; without anything, it is ``all``.
    """
    members: dict[str, list[Run]] = {}
    traits: dict[str, dict[str, str]] = {}
    for run in study.runs() if study.together else ():
        model, optimizer = study.models[run.model], study.optimizers[run.optimizer]
        options = {**optimizer.algorithm.options, "momentum": None}
        alike = dataclasses.replace(
            optimizer, learning_rate=0, schedule=None, algorithm=recipes.Kind("", options)
        )
        key = files.digest(recipes.plain([alike, _shared(model), run.seed]))
        members.setdefault(key, []).append(run)
        traits[key] = {
            **_shared(model),
            "batch": str(optimizer.batch_size),
            "epochs": str(optimizer.epochs),
            "seed": str(run.seed),
        }
    return {name: tuple(members[key]) for key, name in zip(traits, _names(traits), strict=True)}


def _shared(model: recipes.Model) -> dict[str, str]:
    """Return what models that are trained together have in common."""
    widths = model.options.get("widths", ())
    return {
        "layers": str(len(widths) + 1),
        "": str(model.options.get("activation", "")) if widths else "",
    }


def _names(traits: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a name per group, of the traits in which they differ; a number where that is none."""
    differ = [
        key
        for key in next(iter(traits.values()), {})
        if len({each[key] for each in traits.values()}) > 1
    ]
    names = ["-".join(f"{key}{each[key]}" for key in differ) for each in traits.values()]
    names = [name.strip("-") or "all" for name in names]
    return [
        name if names.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(names, start=1)
    ]
