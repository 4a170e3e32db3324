"""The key `models` of a study file: networks, losses, starting weights and engines, checked."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import schema
from cobaye.errors import ConfigError
from cobaye.recipes.study import Backbone, Study


def read(entry: schema.ModelEntry, file: Path, where: str) -> recipes.Model:
    """Return a model; raises ConfigError for options or parts that the network does not have."""
    network = schema.checked_kind("networks", entry.kind, entry.options(), file, where)
    model = recipes.Model(
        network.kind,
        network.options,
        loss(entry),
        entry.start,
        tuple(entry.train_only or ()),
    )
    _refuse_parts(model.train_only, network.kind, file, f"{where}.train_only")
    if entry.start:
        _refuse_parts(entry.start.fresh, network.kind, file, f"{where}.start.fresh")
    return model


def loss(entry: schema.ModelEntry) -> recipes.Loss:
    """Return the loss of a model: its own, else that of its network."""
    return entry.loss or kinds.constant("networks", entry.kind, "LOSS", "cross-entropy")


def linear_networks() -> list[str]:
    """Return the kinds of networks that are linear in their inputs."""
    every = kinds.names("networks")
    return [name for name in every if kinds.constant("networks", name, "ENGINE") == "linear"]


def _refuse_parts(parts: Iterable[str], kind: str, file: Path, where: str) -> None:
    known = kinds.constant("networks", kind, "PARTS", ())
    for part in parts:
        schema.refuse_unknown(part, known, file, where, f"part of {kind}")


def general(optimizer: recipes.Optimizer, loss: recipes.Loss) -> bool:
    """Tell whether a recipe needs the general engine, even for a linear model."""
    return bool(optimizer.augment or optimizer.phases or loss == "softmax-squared-error")


@functools.cache
def engine(chosen: str, network: str, general: bool) -> str:
    """Return the kind of engine that trains a kind of network.

    chosen: the study's `engine`. general: see :func:`general`.
    """
    if chosen == "auto" and not general:
        return kinds.constant("networks", network, "ENGINE", "network")
    return "numpy" if chosen == "numpy" else "network"


def refuse_starts(
    study: Study,
    studies: Mapping[str, Study],
    backbones: Mapping[str, Backbone],
    folder: Path,
) -> None:
    """Raise ConfigError for a start from an unknown backbone, another network, or itself."""
    file = folder / "studies" / f"{study.name}.yaml"
    for name, model in study.models.items():
        if model.start is None:
            continue
        where = f"models.{name}.start.backbone"
        schema.refuse_unknown(model.start.backbone, backbones, file, where, "backbone")
        backbone = backbones[model.start.backbone]
        if backbone.callable:
            raise ConfigError(
                f"{file}: {where}: {backbone.name!r} is a callable: a model starts from a "
                "backbone of run or torchvision only"
            )
        origin = backbone.model or studies[backbone.study].models[backbone.run.model]
        if _architecture(origin) != _architecture(model):
            raise ConfigError(
                f"{file}: {where}: {backbone.name!r} is a network of the kind "
                f"{_architecture(origin)!r}, and this model one of {_architecture(model)!r}"
            )
        _refuse_circle(study.name, name, studies, backbones, f"{file}: {where}")


def _architecture(model: recipes.Kind) -> str:
    return model.options["model"] if model.kind == "torchvision" else model.kind


def _refuse_circle(
    study: str,
    model: str,
    studies: Mapping[str, Study],
    backbones: Mapping[str, Backbone],
    where: str,
) -> None:
    """Refuse a chain of starts that leads back to one of its models."""
    seen = []
    while (study, model) not in seen:
        seen.append((study, model))
        start = studies[study].models[model].start
        if start is None or backbones[start.backbone].run is None:
            return
        study, model = backbones[start.backbone].study, backbones[start.backbone].run.model
    chain = " → ".join("/".join(each) for each in [*seen, (study, model)])
    raise ConfigError(f"{where}: it starts from itself: {chain}")


def refuse_numpy(study: Study, file: Path) -> None:
    """Raise ConfigError for what the NumPy engine does not support, where a study chooses it."""
    if study.engine != "numpy":
        return
    for name, model in study.models.items():
        _refuse_kind("networks", model, f"{file}: models.{name}", *SCRATCH)
        if model.train_only:
            raise ConfigError(f"{file}: models.{name}.train_only: engine: numpy trains all parts")
    for name, optimizer in study.optimizers.items():
        where = f"{file}: optimizers.{name}"
        _refuse_kind("optimizers", optimizer.algorithm, f"{where}.algorithm", *SCRATCH)
        _refuse_unsupported(optimizer, "numpy", where, SCRATCH[1])


def refuse_together(study: Study, file: Path) -> None:
    """Raise ConfigError for what the batched engine does not support, where a study chooses it."""
    if not study.together:
        return
    if study.engine == "numpy":
        raise ConfigError(f"{file}: together: cannot be combined with engine: numpy")
    for name, model in study.models.items():
        where = f"{file}: models.{name}"
        _refuse_kind("networks", model, where, *TOGETHER)
        if model.loss != "cross-entropy":
            raise ConfigError(
                f"{where}.loss: {model.loss!r}: together: true supports cross-entropy only"
            )
        if model.start or model.train_only:
            raise ConfigError(
                f"{where}: start and train_only: together: true starts from random weights and "
                "trains all parts"
            )
    for name, optimizer in study.optimizers.items():
        where = f"{file}: optimizers.{name}"
        _refuse_kind("optimizers", optimizer.algorithm, f"{where}.algorithm", *TOGETHER)
        _refuse_unsupported(optimizer, "batched", where, TOGETHER[1])
        if optimizer.reads_val:
            raise ConfigError(f"{where}: together: true does not read val during training")


def refuse_bfloat16(study: Study, file: Path) -> None:
    """Raise ConfigError for `precision: bfloat16` of what no engine of linear models trains."""
    if study.precision != "bfloat16":
        return
    where = f"{file}: precision: bfloat16: a last layer (kind: linear) can be trained in it"
    if study.engine != "auto":
        raise ConfigError(f"{where}, with engine: auto; engine: {study.engine}")
    for name, model in study.models.items():
        if model.kind != "linear":
            raise ConfigError(f"{where}; models.{name} is of kind {model.kind!r}")


# The constant by which a kind states that an engine supports it (option → supported values, {} for
# all), and how a study chooses that engine.
SCRATCH = ("SCRATCH", "engine: numpy")
TOGETHER = ("TOGETHER", "together: true")


def _refuse_kind(family: str, kind: recipes.Kind, where: str, constant: str, asked: str) -> None:
    """Refuse a kind that does not state this constant, and option values that it leaves out."""
    written = {name: kinds.constant(family, name, constant) for name in kinds.names(family)}
    known = [name for name, limits in written.items() if limits is not None]
    if kind.kind not in known:
        raise ConfigError(f"{where}.kind: {kind.kind!r}: {asked} supports {', '.join(known)} only")
    for option, allowed in written[kind.kind].items():
        if kind.options[option] not in allowed:
            raise ConfigError(
                f"{where}.{option}: {kind.options[option]!r}: {asked} supports "
                f"{', '.join(map(repr, allowed))} only"
            )


def _refuse_unsupported(optimizer: recipes.Optimizer, engine: str, where: str, asked: str) -> None:
    """Refuse keys of a recipe that an engine does not support."""
    supported = kinds.constant("engines", engine, "SUPPORTS", ())
    for key in kinds.constant("engines", "network", "SUPPORTS"):
        if getattr(optimizer, key) and key not in supported:
            raise ConfigError(f"{where}.{key}: {asked} does not support {key}")
