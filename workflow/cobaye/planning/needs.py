"""What each rule asks for, memory and minutes: a function per rule, named as the rule.

A function takes the config and the identity of a job. The figures are those of `resources`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.planning import facts, group_resources, resources, runs
from cobaye.planning.resources import LIGHT, Needs, Sizes
from cobaye.recipes import axes
from cobaye.recipes.study import Run


def sizes(config: Config, data: recipes.Data) -> Sizes:
    """Return the sizes of what a study learns from."""
    dataset = resources.of_dataset(config.datasets[data.dataset])
    if data.backbone is None:
        return dataset
    caching, network = config.backbones[data.backbone].caching, facts.network(config, data.backbone)
    return resources.of_features(dataset, data, caching, network)


def prepare_dataset(config: Config, dataset: str) -> Needs:
    """Return the needs of one dataset."""
    return resources.preparing(config.datasets[dataset], sizes(config, recipes.Data(dataset, None)))


def cache_features(
    config: Config, dataset: str, backbone: str, split: str, shard: str, shards: str
) -> Needs:
    """Return the needs of one shard."""
    entry, network = config.backbones[backbone], facts.network(config, backbone)
    images = sizes(config, recipes.Data(dataset, None))
    return resources.caching(entry.caching, network, images, int(shards), entry.threads)


def gather_features(config: Config, dataset: str, backbone: str, split: str) -> Needs:
    """Return the needs of one split."""
    return resources.reading(sizes(config, recipes.Data(dataset, backbone)), split)


def train(config: Config, study: str, **run: Any) -> Needs:
    """Return the needs of a run; where a table gives its recipe, of any that it may turn out."""
    entry, (models, optimizers) = config.studies[study], candidates(config, study, run)
    data = sizes(config, entry.data_of(run["model"]))
    learned = facts.learned_splits(config, study, Run(**{**run, "seed": int(run["seed"])}))
    rows = sum(data.images[split] for split in learned)
    data = dataclasses.replace(data, images={**data.images, "train": rows})
    return _most(
        resources.training(model, optimizer, data, entry.threads)
        for model in models
        for optimizer in optimizers
    )


def evaluate(config: Config, study: str, **run: Any) -> Needs:
    """Return the needs of the evaluation of a run too."""
    entry, (models, optimizers) = config.studies[study], candidates(config, study, run)
    data = sizes(config, entry.data_of(run["model"]))
    kept = max(len(recipes.kept_epochs(entry.keep, each.epochs)) for each in optimizers)
    return _most(
        resources.evaluating(model, entry.train_epochs, kept - 1, data) for model in models
    )


def candidates(
    config: Config, study: str, identity: dict[str, Any]
) -> tuple[list[recipes.Model], list[recipes.Optimizer]]:
    """Return the models and optimizers that a run may have."""
    entry = config.studies[study]
    run = Run(**{**identity, "seed": int(identity["seed"])})
    if runs.origins(entry).get(run) != "grid":
        return [entry.models[run.model]], [entry.optimizers[run.optimizer]]
    derived, _ = entry.derived_runs()[run]
    optimizers = [
        dataclasses.replace(each, epochs=derived.epochs) for each in entry.optimizers.values()
    ]
    return [entry.models[name] for name in derived.among], optimizers


def train_together(config: Config, study: str, group: str) -> Needs:
    """Return the needs of runs trained together."""
    entry, members = config.studies[study], runs.groups(config.studies[study])[group]
    models = [entry.models[run.model] for run in members]
    optimizer = entry.optimizers[members[0].optimizer]
    return group_resources.training(models, optimizer, sizes(config, entry.data), entry.threads)


def evaluate_together(config: Config, study: str, group: str) -> Needs:
    """Return the needs of their evaluation."""
    entry, members = config.studies[study], runs.groups(config.studies[study])[group]
    models = [entry.models[run.model] for run in members]
    epochs = entry.optimizers[members[0].optimizer].epochs
    data = sizes(config, entry.data)
    return group_resources.evaluating(models, epochs, entry.evaluate_splits, data)


def evaluate_best(config: Config, study: str) -> Needs:
    """Return the needs of one forward pass over test, where its scores are not known yet."""
    if facts.scores_test(config, study):
        return LIGHT
    sources = config.studies[study].sources
    return _most(resources.reading(sizes(config, data), "test") for data in sources)


def evaluate_baseline(config: Config, study: str) -> Needs:
    """Return the needs of one forward pass of a linear layer over every split."""
    data = config.studies[study].data
    return resources.evaluating(recipes.Kind("linear", {}), "last", 0, sizes(config, data))


def tabulate(config: Config, study: str, maker: str = "") -> Needs:
    """Return the needs of reading the predictions of every run."""
    entry = config.studies[study]
    return resources.tabulating(len(entry.runs()), sizes(config, entry.sources[0]))


def analyse(config: Config, study: str, maker: str) -> Needs:
    """Return the needs of an analysis.

    One that reads predictions holds those of all runs; one that reads checkpoints and splits refits
    the logits of their heads. Draws of a bootstrap take time: 8 s of one core were measured for
    2,000 draws of 75,000 images (benchmarks/inference.py).
    """
    entry = config.studies[study]
    read = kinds.constant("analyses", maker, "READS_RUNS", ())
    if maker not in entry.analyses or not read:
        return LIGHT
    needs, splits = LIGHT, kinds.constant("analyses", maker, "SPLITS", ())
    if "predictions.parquet" in read:
        needs = tabulate(config, study)
    elif kinds.axis(maker) == "epoch":
        needs = _over_epochs(config, study, len(entry.analyses[maker].options.get("epochs", ())))
    elif "checkpoints" in read and splits:
        needs = _refitting(len(entry.runs()), sizes(config, entry.sources[0]), splits)
    draws = entry.analyses[maker].options.get("draws", 0)
    return needs._replace(minutes=needs.minutes + 5 * (1 + draws // 2000))


def _over_epochs(config: Config, study: str, epochs: int) -> Needs:
    """Return the needs of scoring epochs of the best run of each configuration and seed.

    epochs: their number; 0: as many as an analysis takes by itself.
    """
    entry, epochs = config.studies[study], epochs or axes.EPOCHS
    configurations = {(run.model, run.optimizer) for run in entry.runs()}
    each = _most(
        resources.evaluating(entry.models[model], "every", epochs, sizes(config, data))
        for model, _ in configurations
        for data in [entry.data_of(model)]
    )
    held = resources.tabulating(epochs * len(entry.seeds), sizes(config, entry.sources[0]))
    runs_scored = len(configurations) * len(entry.seeds)
    return Needs(each.megabytes + held.megabytes, each.minutes * runs_scored + held.minutes)


def _refitting(heads: int, data: Sizes, splits: Sequence[str]) -> Needs:
    """Return the needs of an analysis that refits the logits of linear heads on val.

    It holds its splits, and the logits of all heads up to `analyses._rival_heads.KEPT` numbers.
    Assumed: ten visits of val by all heads, as if none were held.
    """
    logits = data.images["val"] * data.classes
    held = data.bytes(*splits) + 4 * min(heads * logits, 1e8) + 24 * logits
    images = 10 * heads * data.images["val"] + 20 * sum(data.images[each] for each in splits)
    seconds = images * 2 * data.values * data.classes / resources.FLOPS
    return resources.needs(held, seconds + data.bytes(*splits) / resources.READING)


def inspect_run(config: Config, study: str, analysis: str, state: str, **run: Any) -> Needs:
    """Return the needs of an analysis that looks inside a run.

    Assumed: as much as an evaluation of as many checkpoints as it makes passes over its split, and
    the megabytes of its option `memory`.
    """
    entry = config.studies[study]
    passes = kinds.constant("analyses", analysis, "PASSES", 0)
    model = entry.models[run["model"]]
    data = sizes(config, entry.data_of(run["model"]))
    needs = resources.evaluating(model, "last", passes, data)
    memory = facts.analysis(config, study, analysis).options.get("memory", 0)
    return needs._replace(megabytes=needs.megabytes + memory)


def choose_weight_decay(config: Config, study: str, way: str) -> Needs:
    """Return the needs of a way; one that trains needs the longest training for each fold."""
    entry = config.studies[study]
    if not facts.splits_of_way(config, study, way):
        return LIGHT
    longest = _most(
        resources.training(model, optimizer, sizes(config, entry.data_of(name)), entry.threads)
        for name, model in entry.models.items()
        for optimizer in entry.optimizers.values()
    )
    folds = entry.per_class[way].options.get("folds", 1)
    return Needs(2 * longest.megabytes, longest.minutes * folds)


def _most(needs: Iterable[Needs]) -> Needs:
    return Needs(*map(max, zip(*needs, strict=True)))
