"""The key `backbones` of a study file: each model becomes one model per backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Backbone, Grid, model_on


def names(raw: schema.StudyFile, known: Mapping[str, Backbone], file: Path) -> tuple[str, ...]:
    """Return the backbones of a study, () for one on images; raises ConfigError."""
    if raw.backbones is None:
        if raw.backbone is not None:
            schema.refuse_unknown(raw.backbone, known, file, "backbone", "backbone")
            if raw.baseline and known[raw.backbone].callable:
                raise ConfigError(
                    f"{file}: baseline: true: {raw.backbone!r} is a callable, which has no last "
                    "layer of its own"
                )
        return () if raw.backbone is None else (raw.backbone,)
    if raw.backbone is not None:
        raise ConfigError(f"{file}: backbones: give one of backbone and backbones")
    for each in raw.backbones:
        schema.refuse_unknown(each, known, file, "backbones", "backbone")
        if raw.backbones.count(each) > 1:
            raise ConfigError(f"{file}: backbones: {each!r} stands twice")
    return tuple(raw.backbones)


def expand(raw: schema.StudyFile, grid: Grid | None, file: Path) -> schema.StudyFile:
    """Return a study with a model for each (model, backbone), where it lists `backbones`.

    Models are named by `model_on`, the backbones of one model side by side, in `models` and in the
    `models` of optimizers. Raises ConfigError for keys that need a study of one backbone.
    """
    if raw.backbones is None:
        return raw
    refused = {
        "baseline: true": raw.baseline,
        "grid": grid,
        "sample": raw.sample,
        "derived": raw.derived,
        "together": raw.together,
    }
    for key, given in refused.items():
        if given:
            raise ConfigError(f"{file}: backbones: cannot be combined with {key}")
    on = {name: [model_on(name, each) for each in raw.backbones] for name in raw.models}
    models = {each: raw.models[name] for name, named in on.items() for each in named}
    optimizers = {}
    for name, entry in raw.optimizers.items():
        for each in entry.models or ():
            schema.refuse_unknown(each, on, file, f"optimizers.{name}.models", "entry of models")
        wanted = [new for each in entry.models or () for new in on[each]]
        optimizers[name] = entry.model_copy(update={"models": wanted or None})
    return raw.model_copy(update={"models": models, "optimizers": optimizers})
