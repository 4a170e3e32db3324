"""The key `over` of an analysis: a job per axis, each checked for what the study varies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.errors import ConfigError
from cobaye.recipes import axes
from cobaye.recipes.study import Study


def expand(name: str, kind: recipes.Kind, path: Path) -> dict[str, recipes.Kind]:
    """Return an analysis over each of its axes, by name; over λ its name is its own."""
    over = kind.options.get("over", [axes.DEFAULT])
    if not over or len(set(over)) < len(over):
        raise ConfigError(f"{path}: analyses.{name}.over: {over}: expected one or more axes, once")
    found = {}
    for axis in over:
        options: dict[str, Any] = {
            key: value
            for key, value in kind.options.items()
            if key != "over" and (key != "epochs" or axis == "epoch")
        }
        if axis == axes.DEFAULT:
            found[name] = recipes.Kind(name, options)
            continue
        # A λ of the axis λ alone.
        options |= {"against": ""} if "against" in options else {}
        found[kinds.over(name, axis)] = recipes.Kind(name, options)
    return found


def refuse(study: Study, path: Path) -> None:
    """Refuse an axis that the study does not vary, and epochs that it does not keep."""
    for name, kind in study.analyses.items():
        axis, where = kinds.axis(name), f"{path}: analyses.{kind.kind}"
        if axis in axes.FAMILIES and not axes.families(study.optimizers, axis):
            alone = "their learning rate" if axis == "learning_rate" else "a number in `augment`"
            raise ConfigError(
                f"{where}.over: {axis}: no two of the optimizers "
                f"{', '.join(study.optimizers)} differ in {alone} alone"
            )
        if axis == axes.PLANE and len(study.weight_decays) < 2:
            raise ConfigError(f"{where}.over: plane: needs two or more entries in weight_decays")
        if axis == "epoch":
            _refuse_epochs(study, kind.options.get("epochs", ()), where)


def _refuse_epochs(study: Study, asked: list[int], where: str) -> None:
    kept = {
        name: [epoch for epoch in recipes.kept_epochs(study.keep, each.epochs) if epoch]
        for name, each in study.optimizers.items()
    }
    several = {name: epochs for name, epochs in kept.items() if len(epochs) > 1}
    if not several:
        raise ConfigError(
            f"{where}.over: epoch: each run keeps the checkpoint of one epoch: write keep: all or "
            "every n, with an algorithm that has epochs"
        )
    if asked and (len(asked) < 2 or len(set(asked)) < len(asked)):
        raise ConfigError(f"{where}.epochs: {asked}: expected two or more epochs, each once")
    for name, epochs in several.items():
        if lost := [epoch for epoch in asked if epoch not in epochs]:
            raise ConfigError(
                f"{where}.epochs: {lost}: optimizers.{name} keeps no such checkpoint: its epochs "
                f"are {epochs[0]} to {epochs[-1]}, and keep decides which stay"
            )
