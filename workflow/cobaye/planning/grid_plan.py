"""The plan of grids: runs side by side, derived runs, and the one that is scored on test."""

from __future__ import annotations

import dataclasses

from cobaye.config import model_keys
from cobaye.errors import ConfigError
from cobaye.planning.plan import Plan
from cobaye.planning.stages import Stage
from cobaye.recipes.study import Derived, Run
from cobaye.storage import files


class GridPlan(Plan):
    """Everything that can be asked for, and what it takes; see `Plan`."""

    def best(self, study: str) -> Stage:
        """Return what evaluate_best is told; raises ConfigError for a study without a grid."""
        of = self.config.studies[study]
        if of.grid is None:
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: models, optimizers: none has a grid to choose the best of")
        recipe = {"data": of.data, "split": "test", "derived": bool(of.derived)}
        used = {("networks", model.kind) for model in of.models.values()}
        return self._stage("evaluate_best", {"study": study}, recipe, *used)

    def _derived(self, study: str, run: Run) -> tuple[Derived, int]:
        of = self.config.studies[study]
        if run not in of.derived_runs():
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: the study has no derived run {self.run_folder(study, run)}")
        return of.derived_runs()[run]

    def train_derived(self, study: str, run: Run) -> Stage:
        """Return what train_derived is told; raises ConfigError for a run of another study."""
        of = self.config.studies[study]
        by, place = self._derived(study, run)
        recipe = {"place": place, "among": by.among, "epochs": by.epochs}
        used = {("networks", of.models[name].kind) for name in by.among}
        for name in by.among:
            for optimizer in of.optimizers.values():
                kind, general = of.models[name].kind, model_keys.general(optimizer)
                used |= {
                    ("engines", model_keys.engine(of.engine, kind, general)),
                    *optimizer.used(),
                }
        return self._stage("train_derived", self._identity(study, run), recipe, *used)

    def evaluate_derived(self, study: str, run: Run) -> Stage:
        """Return what evaluate_derived is told."""
        of = self.config.studies[study]
        by, _ = self._derived(study, run)
        recipe = {
            "data": of.data,
            "train_epochs": of.train_epochs,
            "splits": of.evaluate_splits,
        }
        used = {("networks", of.models[name].kind) for name in by.among}
        return self._stage("evaluate_derived", self._identity(study, run), recipe, *used)

    def tabulate_derived(self, study: str) -> Stage:
        """Return what tabulate_derived is told."""
        runs = [dataclasses.asdict(run) for run in self.config.studies[study].derived_runs()]
        return self._stage("tabulate_derived", {"study": study}, {"runs": runs})

    def expected_derived(self, study: str) -> dict[str, tuple[str, ...]]:
        """Return folder of a derived run → the fingerprints of its training and evaluation."""
        return {
            self.run_folder(study, run): (
                self.train_derived(study, run).fingerprint,
                self.evaluate_derived(study, run).fingerprint,
            )
            for run in self.config.studies[study].derived_runs()
        }

    def group(self, study: str, group: str, *, evaluated: bool = False) -> Stage:
        """Return what the training, or the evaluation, of runs side by side is told."""
        runs = []
        for run in self.groups(study)[group]:
            trained = self.train(study, run)
            stage = self.evaluate(study, run) if evaluated else trained
            more = {"expected": trained.fingerprint} if evaluated else {}
            runs.append({**dataclasses.asdict(stage), **more})
        code = files.digest([run["code"] for run in runs])
        return Stage({"study": study, "group": group}, {"runs": runs}, code)
