"""Stages: what the jobs before any training are told. See `plan`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.planning import code_digest
from cobaye.planning.places import Places
from cobaye.recipes.study import Run
from cobaye.storage import manifests


@dataclasses.dataclass(frozen=True)
class Stage:
    """What one job is told."""

    identity: dict[str, Any]
    recipe: dict[str, Any]
    code: str

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of recipe and code, as `files.require_fresh` compares it."""
        return manifests.stage_fingerprint(self.recipe, self.code)


class Stages(Places):
    """Datasets, backbones and features: what they take.

    Parameters
    ----------
    config : the checked config.
    scripts : the folder of the rules' scripts, each named as its rule.
    """

    def __init__(self, config: Config, scripts: Path):
        super().__init__(config)
        self.scripts = scripts

    def _stage(self, rule: str, identity: Mapping, recipe: Any, *used: tuple[str, str]) -> Stage:
        return Stage(dict(identity), recipes.plain(recipe), self._code(rule, used))

    @functools.cache  # noqa: B019 (one plan per process, and Snakemake asks often)
    def _code(self, rule: str, used: tuple[tuple[str, str], ...]) -> str:
        return code_digest.code_digest(self.scripts / f"{rule}.py", used)

    def dataset(self, dataset: str) -> Stage:
        """Return what prepare_dataset is told."""
        kind = self.config.datasets[dataset].kind
        return self._stage("prepare_dataset", {"dataset": dataset}, kind, ("datasets", kind.kind))

    def dataset_problems(self, dataset: str) -> list[str]:
        """Return what would stop the preparation of a dataset. Imports its kind."""
        kind = self.config.datasets[dataset].kind
        options = recipes.parse(kinds.options("datasets", kind.kind), kind.options)
        return kinds.load("datasets", kind.kind).problems(options)

    def backbone(self, backbone: str) -> Stage:
        """Return what prepare_backbone is told."""
        of = self.config.backbones[backbone]
        model = self.backbone_model(backbone)
        recipe: dict[str, Any] = {"model": model}
        if of.run:
            recipe["run"] = self._identity(of.study, of.run)
        else:
            recipe |= {"weights": of.weights, "file": of.file}
        used = ("networks", model.kind)
        return self._stage("prepare_backbone", {"backbone": backbone}, recipe, used)

    def backbone_expected(self, backbone: str) -> str | None:
        """Return the fingerprint of the training behind a backbone, if it is from a run."""
        of = self.config.backbones[backbone]
        return self.train(of.study, of.run).fingerprint if of.run else None

    @functools.cache  # noqa: B019
    def shard(self, dataset: str, backbone: str, split: str, shard: str) -> Stage:
        """Return what cache_features is told."""
        network = self.backbone_model(backbone).kind
        identity = {
            "dataset": dataset,
            "backbone": backbone,
            "split": split,
            "shard": int(shard),
            "shards": self.config.datasets[dataset].shards,
        }
        caching = self.config.backbones[backbone].caching
        return self._stage("cache_features", identity, caching, ("networks", network))

    def features(self, dataset: str, backbone: str, split: str) -> Stage:
        """Return what gather_features is told."""
        identity = {"dataset": dataset, "backbone": backbone, "split": split}
        recipe = {"shards": self.config.datasets[dataset].shards}
        return self._stage("gather_features", identity, recipe)

    @staticmethod
    def _identity(study: str, run: Run) -> dict[str, Any]:
        return {"study": study, **vars(run)}
