"""The key `optimizers` of a study file: checked, and turned into training recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import model_keys, schema
from cobaye.errors import ConfigError


def read(
    entry: schema.OptimizerEntry, models: Mapping[str, schema.ModelEntry], path: Path, where: str
) -> recipes.Optimizer:
    """Return a training recipe.

    models: those that it trains. Raises ConfigError for keys that the algorithm cannot use, for
    missing keys, and for models that the algorithm cannot fit.
    """
    phases = _phases(entry, path, where)
    if not phases:
        _check(entry, models, path, where)

    def kind(family: str, value: schema.WithOptions, key: str) -> recipes.Kind:
        return schema.checked_kind(family, value.kind, value.options(), path, f"{where}.{key}")

    first = phases[0].algorithm if phases else kind("optimizers", entry.algorithm, "algorithm")
    return recipes.Optimizer(
        algorithm=first,
        learning_rate=phases[0].learning_rate if phases else entry.learning_rate,
        schedule=kind("schedules", entry.schedule, "schedule"),
        batch_size=entry.batch_size,
        epochs=entry.epochs or 1,
        normalize=entry.normalize,
        shuffle=entry.shuffle,
        l1=entry.l1,
        max_norm=entry.max_norm,
        stop=entry.stop,
        augment=tuple(
            kind("augmentations", each, f"augment[{number}]")
            for number, each in enumerate(entry.augment)
        ),
        zca_epsilon=entry.zca_epsilon,
        phases=phases,
    )


def weight_decays(
    entries: Mapping[str, schema.OptimizerEntry], labels: Sequence[str], path: Path
) -> dict[str, tuple[str, ...]]:
    """Return the λ of each optimizer that lists its own: name → labels, in the study's order.

    labels: the study's λ. Raises ConfigError for a λ that the study does not list, for one listed
    twice, and for one that no optimizer is trained with.
    """
    chosen = {}
    for name, entry in entries.items():
        listed, where = entry.weight_decays, f"optimizers.{name}.weight_decays"
        if listed is None:
            continue
        for label in listed:
            schema.refuse_unknown(label, labels, path, where, "entry of weight_decays")
        if len(set(listed)) < len(listed):
            raise ConfigError(f"{path}: {where}: {listed}: a value stands twice")
        chosen[name] = tuple(label for label in labels if label in listed)
    taken = {label for name in entries for label in chosen.get(name, labels)}
    for label in labels:
        if label not in taken:
            raise ConfigError(f"{path}: weight_decays: {label!r}: no optimizer is trained with it")
    return chosen


def _phases(entry: schema.OptimizerEntry, path: Path, where: str) -> tuple[recipes.Phase, ...]:
    """Return the phases of an entry, () if it has none; refuse keys that contradict them."""
    if entry.phases is None:
        return ()
    for key in ("algorithm", "learning_rate"):
        if key in entry.model_fields_set:
            raise ConfigError(f"{path}: {where}.{key}: with phases, each phase states its own")
    _refuse_missing(entry, ("batch_size", "epochs"), path, where)
    *first, last = [
        _phase(each, path, f"{where}.phases[{number}]") for number, each in enumerate(entry.phases)
    ]
    for number, phase in enumerate(first):
        if phase.epochs is None:
            raise ConfigError(f"{path}: {where}.phases[{number}].epochs: missing")
    if last.epochs is not None:
        raise ConfigError(
            f"{path}: {where}.phases[{len(first)}].epochs: {last.epochs}: leave it out: the last "
            "phase has the epochs that are left"
        )
    before = sum(phase.epochs for phase in first)
    if before >= entry.epochs:
        raise ConfigError(
            f"{path}: {where}.epochs: {entry.epochs}: must be above {before}, the epochs of the "
            "phases before the last"
        )
    return (*first, last)


def _phase(entry: schema.PhaseEntry, path: Path, where: str) -> recipes.Phase:
    name, given = entry.algorithm.kind, entry.algorithm.options()
    kind = schema.checked_kind("optimizers", name, given, path, f"{where}.algorithm")
    if kinds.constant("optimizers", name, "ENGINE") is not None:
        raise ConfigError(
            f"{path}: {where}.algorithm.kind: {name!r} solves a whole training and "
            "cannot be a phase"
        )
    return recipes.Phase(kind, entry.learning_rate, entry.epochs, entry.weight_decay)


def _refuse_missing(
    entry: schema.OptimizerEntry, keys: Sequence[str], path: Path, where: str
) -> None:
    for key in keys:
        if getattr(entry, key) is None:
            raise ConfigError(f"{path}: {where}.{key}: missing")


def _check(
    entry: schema.OptimizerEntry, models: Mapping[str, schema.ModelEntry], path: Path, where: str
) -> None:
    """Refuse keys that the algorithm cannot use, missing keys, and models that it cannot fit.

    An unknown algorithm is left to `checked_kind`, which offers the nearest.
    """
    _refuse_missing(entry, ("algorithm",), path, where)
    kind = entry.algorithm.kind
    known = kind in kinds.names("optimizers")
    refused = kinds.constant("optimizers", kind, "REFUSES", ()) if known else ()
    needed = [key for key in ("learning_rate", "batch_size", "epochs") if key not in refused]
    _refuse_missing(entry, needed, path, where)
    for key in refused:
        if key in entry.model_fields_set:
            raise ConfigError(f"{path}: {where}.{key}: {kind!r} takes no {key}")
    if not known or kinds.constant("optimizers", kind, "ENGINE") is None:
        return
    linear = model_keys.linear_networks()
    for name, model in models.items():
        if model.kind not in kinds.names("networks"):
            continue
        if model.kind not in linear:
            raise ConfigError(
                f"{path}: {where}.algorithm.kind: {kind!r} is for networks that are linear in "
                f"their inputs ({', '.join(linear)}), and models.{name} is {model.kind!r}"
            )
        if model_keys.loss(model) != "cross-entropy":
            raise ConfigError(
                f"{path}: {where}.algorithm.kind: {kind!r} minimises the cross-entropy, and the "
                f"loss of models.{name} is {model_keys.loss(model)!r}"
            )
