"""Facts about a checked config that several stages need."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.planning import runs
from cobaye.recipes.study import Run
from cobaye.storage import paths, table_names


def network(config: Config, backbone: str) -> recipes.Kind | None:
    """Return the network of a backbone; None for a callable's, which is no kind."""
    entry = config.backbones[backbone]
    if entry.callable:
        return None
    return entry.model or config.studies[entry.study].models[entry.run.model].network


def has_baseline(config: Config, study: str) -> bool:
    """Tell whether the last layer of a study's backbone is evaluated beside its runs."""
    entry = config.studies[study]
    if entry.baseline is not None or len(entry.backbones) != 1:
        return bool(entry.baseline)
    if any(model.loss != "cross-entropy" for model in entry.models.values()):
        return False
    trained = config.backbones[entry.backbones[0]].study
    return trained is not None and config.studies[trained].dataset == entry.dataset


def scores_test(config: Config, study: str) -> bool:
    """Tell whether every run of a study is scored on test."""
    return "test" in config.studies[study].evaluate_splits


def has_story(config: Config, study: str) -> bool:
    """Tell whether a study has a story and an explorer: it analyses classes, of several λ."""
    entry = config.studies[study]
    several = any(len(entry.decays(optimizer)) > 1 for optimizer in entry.optimizers)
    return "classes" in entry.analyses and several


def is_unseen(config: Config, data: recipes.Data) -> bool:
    """Tell whether the backbone never saw the training images, as far as the config says."""
    if data.backbone is not None:
        return data.dataset in config.backbones[data.backbone].never_saw
    kind = config.datasets[data.dataset].kind.kind
    return kinds.constant("datasets", kind, "FORM", "images") == "images"


def analysis(config: Config, study: str, name: str) -> recipes.Kind:
    """Return an analysis of a study; raises ConfigError for one that it has not."""
    analyses = config.studies[study].analyses
    if name not in analyses:
        said = f"the study has no {name!r}: list it there"
        raise runs.refuse(config, study, "analyses", said)
    return analyses[name]


def way(config: Config, study: str, name: str) -> recipes.Kind:
    """Return a way of a study; raises ConfigError for one that it has not."""
    ways = config.studies[study].per_class
    if name not in ways:
        said = f"the study has no {name!r}: list it there"
        raise runs.refuse(config, study, "per_class", said)
    return ways[name]


def dataset_problems(config: Config, dataset: str) -> list[str]:
    """Return what would stop the preparation of a dataset, as sentences. Imports its kind."""
    kind = config.datasets[dataset].kind.kind
    return kinds.load("datasets", kind).problems(dataset_options(config, dataset))


def dataset_options(config: Config, dataset: str) -> Any:
    """Return the options of a dataset. Does not import its kind."""
    kind = config.datasets[dataset].kind
    return recipes.parse(kinds.options("datasets", kind.kind), kind.options)


def is_fetched(config: Config, dataset: str) -> bool:
    """Tell whether a job sees to a dataset's files: one of a kind that can be downloaded."""
    return "download" in config.datasets[dataset].kind.options


def has_fetched_weights(config: Config, backbone: str) -> bool:
    """Tell whether a backbone has torchvision's weights, and not those of a file that it names."""
    entry = config.backbones[backbone]
    return entry.weights is not None and entry.file is None


def tables_of_way(config: Config, study: str, name: str) -> list[str]:
    """Return the tables that a way reads."""
    return ["best-lambda", *kinds.constant("ways", way(config, study, name).kind, "TABLES")]


def splits_of_way(config: Config, study: str, name: str) -> tuple[str, ...]:
    """Return the splits that a way reads."""
    return kinds.constant("ways", way(config, study, name).kind, "SPLITS")


def tables_of_analysis(config: Config, study: str, name: str) -> list[str]:
    """Return the tables that an analysis reads."""
    reads = kinds.constant("analyses", name, "READS_TABLES", ())
    if not isinstance(reads, dict):
        return list(reads)
    others = config.studies[study].analyses
    return ["metrics", *(reads[each] for each in others if each in reads)]


def reads_chosen(analysis: str) -> bool:
    """Tell whether an analysis reads the λ that were chosen for each class."""
    constants = ("READS_CHOSEN", "READS_CLASS_DECAY")
    return any(kinds.constant("analyses", analysis, each, False) for each in constants)


def tables_of_figure(config: Config, study: str, kind: str) -> list[str]:
    """Return the tables that a figure reads: the necessary ones, then the optional ones it has."""
    makers = {table_names.TABULATE, *config.studies[study].analyses}
    optional = kinds.constant("figures", kind, "OPTIONAL_TABLES", ())
    there = [table for table in optional if table_names.makers()[table] in makers]
    return [*kinds.constant("figures", kind, "TABLES"), *there]


def train_splits_of_way(config: Config, study: str, name: str) -> tuple[recipes.Split, ...]:
    """Return the splits that the runs of a way learn from."""
    return kinds.constant("ways", way(config, study, name).kind, "TRAIN_SPLITS", ("train",))


def learned_splits(config: Config, study: str, run: Run) -> tuple[recipes.Split, ...]:
    """Return the splits that a run learns from."""
    way_of = config.studies[study].per_class_runs().get(run)
    return train_splits_of_way(config, study, way_of) if way_of else ("train",)


def training_splits(config: Config, study: str, run: Run) -> list[str]:
    """Return the splits that a training reads; where the grid gives its recipe, all it may."""
    entry = config.studies[study]
    if runs.origins(entry).get(run) == "grid":
        return ["train", "val"]
    looks = ["val"] if entry.optimizers[run.optimizer].reads_val else []
    return [*learned_splits(config, study, run), *looks]


def split_files(config: Config, data: recipes.Data, split: str) -> list[str]:
    """Return the folder or files that hold a split of what a study learns from."""
    folder = paths.split_folder(data, split)
    if data.backbone is None:
        return [folder]
    count = config.datasets[data.dataset].shards
    labels = [paths.shard_label(number) for number in range(count)]
    shards = [
        paths.SHARD.format(
            **dataclasses.asdict(data), split=split, shard=label, shards=paths.shard_label(count)
        )
        for label in labels
    ]
    return [*(f"{shard}.npy" for shard in shards), f"{folder}/labels.npy"]


def shows_gpu() -> bool:
    """Tell whether this machine shows a GPU of NVIDIA."""
    return Path("/dev/nvidiactl").exists()


def gpu_wanted(device: str, elsewhere: bool, here: bool) -> bool:
    """Tell whether jobs ask for a GPU, without torch.

    device: as the config has it. elsewhere: jobs run on other machines, which get a GPU only where
    the config says so. here: this machine shows a GPU.
    """
    return device == "cuda" or (device == "auto" and here and not elsewhere)
