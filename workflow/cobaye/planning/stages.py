"""What each stage is told: a function per rule, named as the rule, over the checked config.

A function takes the config and the identity of a job, that is the wildcards of its path, and
returns its recipe, the kinds whose code it runs, and what its inputs must have been made from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from cobaye import kinds, recipes
from cobaye.config import Config, model_keys
from cobaye.errors import ConfigError
from cobaye.planning import facts, runs
from cobaye.recipes.study import Run
from cobaye.storage import own_code, table_names

Identity = dict[str, Any]


class Told(NamedTuple):
    """What a job is told.

    recipe: what to do. uses: (family, name) of the kinds whose code it runs. inputs: (stage,
    identity) of the jobs whose manifests must be what the config gives now.
    """

    recipe: Any
    uses: Iterable[tuple[str, str]] = ()
    inputs: Iterable[tuple[str, Identity]] = ()


def fetch_dataset(config: Config, dataset: str) -> Told:
    """Return the kind of a dataset and its options; raises ConfigError for one without download."""
    kind = config.datasets[dataset].kind
    if not facts.is_fetched(config, dataset):
        where = f"{config.folder / 'datasets.yaml'}: {dataset}.kind"
        raise ConfigError(f"{where}: {kind.kind!r} has no option download")
    return Told(kind, [("datasets", kind.kind)])


def prepare_dataset(config: Config, dataset: str) -> Told:
    """Return what a dataset is made of, but whether its files may be downloaded."""
    entry = config.datasets[dataset]
    kind, options = entry.kind.kind, {**entry.kind.options}
    options.pop("download", None)
    return Told(recipes.Source(kind, options, entry.long_tail), [("datasets", kind)])


def fetch_weights(config: Config, backbone: str) -> Told:
    """Return a network of torchvision and its weights; raises ConfigError for other backbones."""
    entry = config.backbones[backbone]
    if not facts.has_fetched_weights(config, backbone):
        where = f"{config.folder / 'backbones.yaml'}: {backbone}"
        raise ConfigError(f"{where}: no weights are downloaded for it")
    return Told({"model": entry.model, "weights": entry.weights, "download": entry.download})


def prepare_backbone(config: Config, backbone: str) -> Told:
    """Return the network of a backbone, and the run or file that holds its weights.

    Of a callable: the code behind it. Raises ConfigError where the workspace lacks that.
    """
    entry, network = config.backbones[backbone], facts.network(config, backbone)
    if network is None:
        try:
            source = own_code.source(entry.callable).files
        except ConfigError as error:
            where = f"{config.folder / 'backbones.yaml'}: {backbone}"
            raise ConfigError(f"{where}.{error}") from None
        return Told({"callable": entry.callable, "source": source, "reads": entry.reads})
    uses = [("networks", network.kind)]
    if not entry.run:
        recipe = {"model": network, "weights": entry.weights, "file": entry.file}
        return Told(recipe, uses)
    run = runs.identity(entry.study, entry.run)
    recipe, inputs = {"model": network, "run": run}, [("train", run)]
    if config.studies[entry.study].choose_epoch != "last":
        recipe["choose_epoch"] = config.studies[entry.study].choose_epoch
        inputs.append(("evaluate", run))
    return Told(recipe, uses, inputs)


def cache_features(
    config: Config, dataset: str, backbone: str, split: str, shard: int, shards: int
) -> Told:
    """Return how penultimate features are computed."""
    network = facts.network(config, backbone)
    uses = [("networks", network.kind)] if network else []
    return Told(config.backbones[backbone].caching, uses)


def gather_features(config: Config, dataset: str, backbone: str, split: str) -> Told:
    """Return the number of shards."""
    return Told({"shards": config.datasets[dataset].shards})


def train(config: Config, study: str, **identity: Any) -> Told:
    """Return the recipe of a run, or the origin that it is read from."""
    run, of_study = Run(**identity), config.studies[study]
    origin = runs.origins(of_study).get(run)
    if origin is None:
        raise runs.refuse(config, study, "runs", f"the study has no run {runs.folder(study, run)}")
    if origin == "grid":
        return _train_of_grid(config, study, run)
    if origin == "class-decay":
        return _train_of_class_decay(config, study, run)
    recipe = training(config, study, run)
    start = runs.warm_start(of_study, run)
    inputs = [("train", runs.identity(study, start))] if start else []
    return Told(recipe, _trainers(recipe), inputs)


def training(config: Config, study: str, run: Run) -> recipes.Training:
    """Return the whole recipe of a run that the config states."""
    of_study = config.studies[study]
    model, optimizer = of_study.models[run.model], of_study.optimizers[run.optimizer]
    general = model_keys.general(optimizer, model.loss)
    engine = model_keys.engine(of_study.engine, model.kind, general)
    engine = kinds.constant("optimizers", optimizer.algorithm.kind, "ENGINE", engine)
    if of_study.together:
        engine = "linear-path" if model.kind == "linear" else "batched"
    start = runs.warm_start(of_study, run)
    return recipes.Training(
        data=of_study.data_of(run.model),
        engine=engine,
        model=model.network,
        optimizer=optimizer,
        weight_decay=float(run.weight_decay),
        penalize_bias=of_study.penalize_bias,
        penalize_scales=of_study.penalize_scales,
        seed=run.seed,
        loss=model.loss,
        start=model.start,
        train_only=model.train_only,
        precision=of_study.precision,
        warm_start=start and start.weight_decay,
        keep=of_study.keep,
        class_losses=of_study.train_epochs == "last" and engine != "batched",
    )


def _trainers(recipe: recipes.Training) -> list[tuple[str, str]]:
    """Return the kinds whose code trains a recipe."""
    model = ("networks", recipe.model.kind)
    return [model, ("engines", recipe.engine), *recipe.optimizer.used()]


def _train_of_grid(config: Config, study: str, run: Run) -> Told:
    of_study = config.studies[study]
    entry, place = of_study.derived_runs()[run]
    uses = {("origins", "grid")}
    for name in entry.among:
        kind, loss = of_study.models[name].kind, of_study.models[name].loss
        uses.add(("networks", kind))
        for optimizer in of_study.optimizers.values():
            general = model_keys.general(optimizer, loss)
            uses.add(("engines", model_keys.engine(of_study.engine, kind, general)))
            uses.update(optimizer.used())
    recipe = {"origin": "grid", "place": place, "among": entry.among, "epochs": entry.epochs}
    tables = ("tabulate", {"study": study, "maker": table_names.TABULATE})
    return Told(recipe, uses, [tables, *of_runs(study, of_study.runs(), "train")])


def _train_of_class_decay(config: Config, study: str, run: Run) -> Told:
    way = config.studies[study].per_class_runs()[run]
    learns = facts.train_splits_of_way(config, study, way)
    recipe = dataclasses.replace(without_decay(config, study, run), train_on=learns)
    told = {"origin": "class-decay", "way": way, "training": recipe}
    uses = [("origins", "class-decay"), *_trainers(recipe)]
    return Told(told, uses, [("choose_weight_decay", {"study": study, "way": way})])


def without_decay(config: Config, study: str, run: Run) -> recipes.Training:
    """Return the recipe of a configuration, whose λ counts for nothing, without a warm start."""
    alike = dataclasses.replace(run, weight_decay=config.studies[study].decays(run.optimizer)[0])
    recipe = training(config, study, alike)
    return dataclasses.replace(recipe, weight_decay=0.0, warm_start=None)


def evaluate(config: Config, study: str, **identity: Any) -> Told:
    """Return what is measured of a run."""
    of_study, run = config.studies[study], Run(**identity)
    data = of_study.data_of(run.model)
    recipe = recipes.Evaluation(
        data, of_study.train_epochs, of_study.evaluate_splits, of_study.choose_epoch
    )
    among = [run.model]
    if runs.origins(of_study).get(run) == "grid":
        among = of_study.derived_runs()[run][0].among
    uses = {("networks", of_study.models[name].kind) for name in among}
    return Told(recipe, uses, [("train", runs.identity(study, run))])


def evaluate_baseline(config: Config, study: str) -> Told:
    """Return what a study learns from; its backbone's own last layer is evaluated."""
    if not facts.has_baseline(config, study):
        raise runs.refuse(config, study, "baseline", "the study has none")
    return Told(config.studies[study].data, [("networks", "linear")])


def of_runs(study: str, read: Iterable[Run], *stages: str) -> list[tuple[str, Identity]]:
    """Return stages of runs as the inputs of a job."""
    return [(stage, runs.identity(study, run)) for run in read for stage in stages]
