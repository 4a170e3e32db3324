"""Places: which files a checked config makes, and where. For the Snakefile: no torch here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.recipes.study import Run
from cobaye.storage import files, paths, table_names


class Places:
    """The files of every dataset, backbone and study of a config."""

    def __init__(self, config: Config):
        self.config = config

    def backbone_model(self, backbone: str) -> recipes.Kind:
        """Return the network of a backbone."""
        of = self.config.backbones[backbone]
        return of.model or self.config.studies[of.study].models[of.run.model].network

    def backbone_run(self, backbone: str, product: str = "") -> list[str]:
        """Return a product of the run that a backbone is taken from, if it is from one."""
        of = self.config.backbones[backbone]
        return [f"{self.run_folder(of.study, of.run)}/{product}"] if of.run else []

    def start(self, study: str, model: str, suffix: str) -> list[str]:
        """Return a file of the backbone that a model starts from, if it starts from one."""
        start = self.config.studies[study].models[model].start
        return [paths.BACKBONE.format(backbone=start.backbone) + suffix] if start else []

    def shards(self, dataset: str) -> list[str]:
        """Return the labels of a dataset's shards, 00, 01, …; their count is its last argument."""
        return [paths.shard_label(i) for i in range(self.config.datasets[dataset].shards)]

    def shard_count(self, dataset: str) -> str:
        """Return the number of a dataset's shards, as it stands in a path."""
        return paths.shard_label(self.config.datasets[dataset].shards)

    def dataset_manifest(self, study: str) -> str:
        """Return the manifest of the dataset behind a study."""
        data = recipes.Data(self.config.studies[study].data.dataset, None)
        return paths.split_manifest(data, "train")

    def split_manifest(self, study: str, split: str) -> str:
        """Return the manifest that covers a split of what a study learns from."""
        return paths.split_manifest(self.config.studies[study].data, split)

    def split_files(self, study: str, split: str) -> list[str]:
        """Return the folder or files that hold a split of what a study learns from."""
        data = self.config.studies[study].data
        folder = paths.split_folder(data, split)
        if data.backbone is None:
            return [folder]
        count = self.shard_count(data.dataset)
        shards = [
            paths.SHARD.format(**dataclasses.asdict(data), split=split, shard=i, shards=count)
            for i in self.shards(data.dataset)
        ]
        return [*(f"{shard}.npy" for shard in shards), f"{folder}/labels.npy"]

    def warm_start(self, study: str, run: Run) -> Run | None:
        """Return the run that a warm start begins from: that of the next larger λ, if any."""
        of = self.config.studies[study]
        if not of.optimizers[run.optimizer].algorithm.options.get("warm_start"):
            return None
        larger = [
            label for label in of.decays(run.optimizer) if float(label) > float(run.weight_decay)
        ]
        return dataclasses.replace(run, weight_decay=min(larger, key=float)) if larger else None

    def warm_start_of(self, study: str, run: Run, product: str) -> list[str]:
        """Return a product of the run that a run starts from, if it starts from one."""
        start = self.warm_start(study, run)
        return [f"{self.run_folder(study, start)}/{product}"] if start else []

    def train_splits(self, study: str, run: Run) -> tuple[str, ...]:
        """Return the splits that a training reads: val too if its recipe looks at it."""
        optimizer = self.config.studies[study].optimizers[run.optimizer]
        return ("train", "val") if recipes.needs_val(optimizer) else ("train",)

    def run_folder(self, study: str, run: Run) -> str:
        """Return the folder of a run."""
        return paths.RUN.format(study=study, **vars(run))

    def has_baseline(self, study: str) -> bool:
        """Tell whether the last layer of a study's backbone is evaluated beside its runs."""
        of = self.config.studies[study]
        if of.baseline is not None or of.data.backbone is None:
            return bool(of.baseline)
        if any(model.loss != "cross-entropy" for model in of.models.values()):
            return False
        trained = self.config.backbones[of.data.backbone].study
        return trained is not None and self.config.studies[trained].data.dataset == of.data.dataset

    def baseline_product(self, study: str, product: str) -> list[str]:
        """Return a product of a study's baseline, if it has one."""
        folder = paths.BASELINE.format(study=study)
        return [f"{folder}/{product}"] if self.has_baseline(study) else []

    def tables_read(self, study: str, figure_kind: str) -> list[str]:
        """Return the tables that a figure reads: those it needs, then those it likes and has."""
        of = self.config.studies[study]
        makers = {table_names.TABULATE, *of.analyses}
        liked = kinds.constant("figures", figure_kind, "OPTIONAL_TABLES", ())
        there = [table for table in liked if table_names.makers()[table] in makers]
        return [*kinds.constant("figures", figure_kind, "TABLES"), *there]

    @functools.cache  # noqa: B019 (one plan per process)
    def groups(self, study: str) -> dict[str, tuple[Run, ...]]:
        """Return the runs of a study that are trained side by side, by the names of their groups.

        Those of a group differ in widths, learning rate, schedule, momentum and λ alone. A name
        says what tells a group from the others; without anything, it is ``all``.
        """
        of = self.config.studies[study]
        found: dict[str, list[Run]] = {}
        traits: dict[str, dict[str, str]] = {}
        for run in of.runs() if of.together else ():
            model, optimizer = of.models[run.model], of.optimizers[run.optimizer]
            options = {**optimizer.algorithm.options, "momentum": None}
            alike = dataclasses.replace(
                optimizer, learning_rate=0, schedule=None, algorithm=recipes.Kind("", options)
            )
            key = files.digest(recipes.plain([alike, _shared(model), run.seed]))
            found.setdefault(key, []).append(run)
            traits[key] = {
                **_shared(model),
                "batch": str(optimizer.batch_size),
                "epochs": str(optimizer.epochs),
                "seed": str(run.seed),
            }
        return {name: tuple(found[key]) for key, name in zip(traits, _names(traits), strict=True)}

    def products(self, study: str) -> list[str]:
        """Return the files that make a study complete: its runs, tables and figures."""
        of = self.config.studies[study]
        runs = [
            f"{self.run_folder(study, run)}/{manifest}"
            for run in (*of.runs(), *of.derived_runs(), *of.per_class_runs())
            for manifest in ("train.json", "evaluate.json")
        ]
        tables = [
            f"{paths.TABLES}/{file}"
            for maker in (table_names.TABULATE, *of.analyses)
            for file in (*table_names.made_by(maker).values(), f"{maker}.json")
        ]
        if "classes" in of.analyses:
            tables += [f"{paths.STUDY}/story.md", f"{paths.STUDY}/story.json"]
        figures = [
            f"{paths.FIGURES}/{figure}.{suffix}"
            for figure in of.figures
            for suffix in ("svg", "pdf", "png", "json")
        ]
        if of.data.backbone is None:
            tables += [f"{paths.TABLES}/{file}" for file in table_names.DESCRIPTIONS]
        for way in of.per_class:
            chosen = paths.CHOSEN.format(study=study, way=way)
            runs += [chosen, chosen.replace(".csv", ".json")]
        if of.derived:
            made = (*table_names.DERIVED_FILES.values(), "derived.json")
            tables += [f"{paths.TABLES}/{file}" for file in made]
        if of.grid is not None:
            tables += [f"{paths.BEST}/{file}" for file in ("best.csv", "best.json")]
        runs += self.baseline_product(study, "baseline.json")
        return runs + [product.format(study=study) for product in (*tables, *figures)]


def _shared(model: recipes.Model) -> dict[str, str]:
    """Return what models that are trained side by side have in common."""
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
