"""The keys `keep` and `choose_epoch`: which checkpoints of a run stay, and which stands for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.errors import ConfigError
from cobaye.recipes.study import Study

EVERY = re.compile(r"every ([1-9][0-9]{0,3})")


def read(given: Any, path: Path) -> int | None:
    """Return n for every n-th epoch, None for the last alone; see `recipes.keeps`."""
    named: dict[str, int | None] = {"all": 1, "last": None}
    if isinstance(given, str) and given in named:
        return named[given]
    match = EVERY.fullmatch(given) if isinstance(given, str) else None
    if match is None or int(match[1]) < 2:
        raise ConfigError(
            f"{path}: keep: {given!r}: expected all, last or every n, with n from 2 to 9999"
        )
    return int(match[1])


def refuse(study: Study, path: Path) -> None:
    """Refuse what needs a checkpoint that is not kept, or another epoch than the chosen one."""
    written = {1: "all", None: "last"}.get(study.keep, f"every {study.keep}")
    if study.choose_epoch == "best-val":
        _refuse_choice(study, written, path)
    if study.keep == 1:
        return
    where = f"{path}: keep: {written}"
    _refuse_epochs(study, where)
    for name, figure in study.figures.items():
        if study.keep is None and kinds.constant("figures", figure.kind, "BY_EPOCH"):
            raise ConfigError(
                f"{where}: figures: {name!r} draws scores by epoch, and no checkpoint between the "
                "first and the last is kept: write keep: all or every n, or leave the figure out"
            )
        option = kinds.constant("figures", figure.kind, "LAST_EPOCHS")
        if option and figure.options[option] > 1:
            raise ConfigError(
                f"{where}: figures.{name}.{option}: {figure.options[option]}: the figure reads the "
                "checkpoints of so many last epochs: write keep: all, or 1"
            )


def _refuse_choice(study: Study, keep: str, path: Path) -> None:
    """Refuse what rules out that the best epoch on validation stands for a run."""
    where, instead = f"{path}: choose_epoch: best-val", "or choose_epoch: last"
    if study.keep != 1:
        raise ConfigError(
            f"{where}: keep: {keep}: any epoch may be the best, and not all checkpoints are kept: "
            f"write keep: all, {instead}"
        )
    for name, optimizer in study.optimizers.items():
        if optimizer.algorithm.kind == "exact":
            raise ConfigError(
                f"{where}: optimizers.{name}.algorithm.kind: exact: other runs are compared with "
                f"its optimum at their last epoch: leave it out, {instead}"
            )
    for name in study.analyses:
        if kinds.constant("analyses", name, "STATES"):
            raise ConfigError(
                f"{where}: analyses.{name}: it looks inside the network of the last epoch: leave "
                f"it out, {instead}"
            )


def _refuse_epochs(study: Study, where: str) -> None:
    """Refuse epochs that a grid is read at and that are not kept, and an n that keeps the last."""
    for name, readings in (study.grid.epochs if study.grid else {}).items():
        kept = recipes.kept_epochs(study.keep, readings[-1])
        if lost := [epoch for epoch in readings if epoch not in kept]:
            raise ConfigError(
                f"{where}: optimizers.{name}: grid.epochs: {list(readings)}: the grid is read from "
                f"the checkpoints, and those of {lost} are not kept: write keep: all"
            )
    trained = {f"optimizers.{name}": each.epochs for name, each in study.optimizers.items()}
    trained |= {f"derived.{each.name}": each.epochs for each in study.derived}
    for key, epochs in trained.items():
        if study.keep is not None and 1 < epochs <= study.keep:
            raise ConfigError(
                f"{where}: {key}.epochs: {epochs}: only the last would be kept: write keep: last, "
                f"or an n below {epochs}"
            )
