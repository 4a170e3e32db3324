"""Which studies a call of Snakemake needs, by the words of what it was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cobaye.config import Config
from cobaye.errors import ConfigError
from cobaye.recipes.study import Study

# Targets that stand for the default studies, and one that needs none.
DEFAULT, NONE = {"all", "default"}, {"verify"}
WORD = re.compile(r"[A-Za-z0-9.-]+")


def studies(
    config: Config, targets: Iterable[str], mentions: Iterable[str] = ()
) -> tuple[list[Study], list[str]]:
    """Return the studies that targets need, and those that are mentioned; and what is wrong.

    A target is the name of a study or rule, a path, or a rule with the values of its wildcards.
    What else was said, `mentions`, counts where a word is the name of a study. Where a target tells
    no study, all are read. Raises ConfigError for a mistake in a study that a target names or
    needs; a mistake in another one is a warning, and that study is left out.
    """
    named = [_named(config, target) for target in targets]
    found: dict[str, Study] = {}
    for name in sorted(set().union(*(each or () for each in named))):
        found |= {study.name: study for study in _with_origins(config, name)}
    said = {word for text in mentions for word in WORD.findall(text)}
    warnings = []
    for name in config.studies if None in named else sorted(said & config.studies.keys()):
        try:
            found |= {study.name: study for study in _with_origins(config, name)}
        except ConfigError as error:
            warnings.append(str(error))
    return [found[name] for name in config.studies if name in found], warnings


def _named(config: Config, target: str) -> set[str] | None:
    """Return the studies that a target names, also by a backbone; None if it names nothing."""
    words = set(WORD.findall(target))
    backbones = {
        name for name in config.backbones for word in words if f"{word}.".startswith(f"{name}.")
    }
    found = words & config.studies.keys()
    if target in DEFAULT:
        return set(config.default_studies)
    if not found | backbones | (words & config.datasets.keys()) and target not in NONE:
        return None
    return found | {config.backbones[name].study for name in backbones} - {None}


def _with_origins(config: Config, name: str) -> Iterator[Study]:
    """Yield a study, and those whose runs are the backbones that it uses or starts from."""
    waiting = [name]
    for name in waiting:
        study = config.studies[name]
        yield study
        started = [model.start.backbone for model in study.models.values() if model.start]
        origins = {config.backbones[each].study for each in [*study.backbones, *started]} - {None}
        waiting += sorted(origins - set(waiting))
