"""The plan of runs with a λ for each class: what chooses it, trains them, and judges them."""

from __future__ import annotations

import functools
from typing import Any

from cobaye import kinds, recipes
from cobaye.errors import ConfigError
from cobaye.planning.grid_plan import GridPlan
from cobaye.planning.stages import Stage
from cobaye.recipes.study import Run


class PerClassPlan(GridPlan):
    """Everything that can be asked for, and what it takes; see `Plan`."""

    def way(self, study: str, way: str) -> recipes.Kind:
        """Return a way of a study; raises ConfigError for one that it has not."""
        asked = self.config.studies[study].per_class
        if way not in asked:
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: per_class: the study has no {way!r}: list it there")
        return asked[way]

    def tables_of_way(self, study: str, way: str) -> list[str]:
        """Return the tables that a way reads."""
        return ["best-lambda", *kinds.constant("ways", self.way(study, way).kind, "TABLES")]

    def splits_of_way(self, study: str, way: str) -> tuple[str, ...]:
        """Return the splits that a way reads."""
        return kinds.constant("ways", self.way(study, way).kind, "SPLITS")

    @functools.cache  # noqa: B019 (one plan per process)
    def choose(self, study: str, way: str) -> Stage:
        """Return what choose_weight_decay is told."""
        of = self.config.studies[study]
        groups = {(run.model, run.optimizer): run for run in of.runs()}
        recipe = {
            "options": self.way(study, way).options,
            "tables": self.tables_of_way(study, way),
            "data": of.data,
            "unseen": self.unseen(study),
            "trainings": [
                {"model": model, "optimizer": optimizer, "training": self._training(study, run)}
                for (model, optimizer), run in groups.items()
            ],
        }
        identity = {"study": study, "way": way}
        return self._stage("choose_weight_decay", identity, recipe, ("ways", way))

    def unseen(self, study: str) -> bool:
        """Tell whether the backbone never saw the training images of a study, for all we know."""
        data = self.config.studies[study].data
        if data.backbone is not None:
            return data.dataset in self.config.backbones[data.backbone].never_saw
        kind = self.config.datasets[data.dataset].kind.kind
        return kinds.constant("datasets", kind, "FORM", "images") == "images"

    def _training(self, study: str, run: Run) -> dict[str, Any]:
        """Return the training of a run without its λ, and without a neighbour to start from."""
        return {**self.train(study, run).recipe, "weight_decay": 0.0, "warm_start": None}

    def train(self, study: str, run: Run) -> Stage:
        """Return what train is told, or train_per_class for a run with a λ for each class."""
        way = self.config.studies[study].per_class_runs().get(run)
        if way is None:
            return super().train(study, run)
        return self._train_per_class(study, run, way)

    @functools.cache  # noqa: B019
    def _train_per_class(self, study: str, run: Run, way: str) -> Stage:
        of = self.config.studies[study]
        alike = Run(run.model, run.optimizer, of.decays(run.optimizer)[0], run.seed)
        training = self._training(study, alike)
        optimizer = of.optimizers[run.optimizer]
        used = [
            ("networks", of.models[run.model].kind),
            ("engines", training["engine"]),
            *optimizer.used(),
        ]
        recipe = {"way": way, "training": training}
        return self._stage("train_per_class", self._identity(study, run), recipe, *used)

    def analyse(self, study: str, analysis: str) -> Stage:
        """Return what the rule of an analysis is told."""
        stage = super().analyse(study, analysis)
        if analysis != "per-class":
            return stage
        of = self.config.studies[study]
        more = {
            "ways": list(of.per_class),
            "per_class_runs": [dict(vars(run)) for run in of.per_class_runs()],
        }
        return Stage(stage.identity, {**stage.recipe, **more}, stage.code)

    def story(self, study: str) -> Stage:
        """Return what tell_story is told."""
        stage = super().story(study)
        if "per-class" not in self.config.studies[study].analyses:
            return stage
        return Stage(stage.identity, {**stage.recipe, "tables": ["per-class"]}, stage.code)

    def expected_per_class(self, study: str) -> dict[str, tuple[str, ...]]:
        """Return folder of a run → fingerprints, of all runs, those with a λ per class included."""
        own = {
            self.run_folder(study, run): (
                self.train(study, run).fingerprint,
                self.evaluate(study, run).fingerprint,
            )
            for run in self.config.studies[study].per_class_runs()
        }
        return self.expected_runs(study) | own
