"""The plan: from a checked config, what every job of the workflow is told.

For the Snakefile. A job's :class:`Stage` says what it is (identity), what it must do (recipe) and
with which code; Snakemake compares recipe and code by value, and the job writes all three into its
manifest. No torch here.
"""

from __future__ import annotations

import functools
from pathlib import Path

from cobaye import kinds, recipes
from cobaye.config import model_keys
from cobaye.errors import ConfigError, nearest
from cobaye.planning import hyperparameters
from cobaye.planning.stages import Stage, Stages
from cobaye.recipes.study import Run
from cobaye.storage import paths, table_names


class Plan(Stages):
    """Everything that can be asked for, and what it takes.

    Parameters
    ----------
    config : the checked config.
    scripts : the folder of the rules' scripts, each named as its rule.
    """

    @functools.cache  # noqa: B019 (one plan per process)
    def _runs(self, study: str) -> frozenset[Run]:
        return frozenset(self.config.studies[study].runs())

    @functools.cache  # noqa: B019
    def train(self, study: str, run: Run) -> Stage:
        """Return what train is told; raises ConfigError for a run that the study has not."""
        of = self.config.studies[study]
        if run not in self._runs(study):
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: the study has no run {self.run_folder(study, run)}")
        model, optimizer = of.models[run.model], of.optimizers[run.optimizer]
        engine = model_keys.engine(of.engine, model.kind, model_keys.general(optimizer))
        engine = kinds.constant("optimizers", optimizer.algorithm.kind, "ENGINE", engine)
        if of.together:
            engine = "batched"
        origin = self.warm_start(study, run)
        recipe = recipes.Training(
            data=of.data,
            engine=engine,
            model=model.network,
            optimizer=optimizer,
            weight_decay=float(run.weight_decay),
            penalize_bias=of.penalize_bias,
            penalize_scales=of.penalize_scales,
            seed=run.seed,
            loss=model.loss,
            start=model.start,
            train_only=model.train_only,
            precision=of.precision,
            warm_start=origin and origin.weight_decay,
        )
        used = [
            ("networks", model.kind),
            ("engines", engine),
            *optimizer.used(),
        ]
        rule = "train_together" if of.together else "train"
        return self._stage(rule, self._identity(study, run), recipe, *used)

    def warm_start_expected(self, study: str, run: Run) -> str | None:
        """Return the fingerprint of the training that a run starts from, if from one."""
        start = self.warm_start(study, run)
        return self.train(study, start).fingerprint if start else None

    @functools.cache  # noqa: B019
    def evaluate(self, study: str, run: Run) -> Stage:
        """Return what evaluate is told."""
        of = self.config.studies[study]
        model = of.models[run.model]
        recipe = recipes.Evaluation(
            of.data, model.network, of.train_epochs, model.loss, of.evaluate_splits
        )
        identity = self._identity(study, run)
        rule = "evaluate_together" if of.together else "evaluate"
        return self._stage(rule, identity, recipe, ("networks", model.kind))

    def baseline(self, study: str) -> Stage:
        """Return what evaluate_baseline is told; raises ConfigError for a study without one."""
        of = self.config.studies[study]
        if not self.has_baseline(study):
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: baseline: the study has none")
        return self._stage("evaluate_baseline", {"study": study}, of.data, ("networks", "linear"))

    @functools.cache  # noqa: B019
    def describe(self, study: str) -> Stage:
        """Return what describe_models is told."""
        of = self.config.studies[study]
        sizes = [optimizer.batch_size for optimizer in of.optimizers.values()]
        batch_size = next(filter(None, sizes), 1)
        described = {
            name: {
                "network": model.network,
                "loss": model.loss,
                "train_only": model.train_only,
                "precision": of.precision,
                "batch_size": batch_size,
            }
            for name, model in of.models.items()
        }
        used = {("networks", model.kind) for model in of.models.values()}
        recipe = {"data": of.data, "models": described}
        return self._stage("describe_models", {"study": study}, recipe, *used)

    @functools.cache  # noqa: B019
    def tabulate(self, study: str) -> Stage:
        """Return what tabulate is told: the runs, in the order of the config."""
        of = self.config.studies[study]
        recipe = {
            "runs": [dict(vars(run)) for run in of.runs()],
            "baseline": self.has_baseline(study),
            "grid": hyperparameters.of_study(of),
        }
        return self._stage("tabulate", {"study": study}, recipe)

    @functools.cache  # noqa: B019
    def analyse(self, study: str, analysis: str) -> Stage:
        """Return what the rule of an analysis is told: its options, and the runs."""
        recipe = {
            "options": self.asked(study, analysis).options,
            "runs": self.tabulate(study).recipe["runs"],
        }
        return self._stage(table_names.stage(analysis), {"study": study}, recipe)

    def asked(self, study: str, analysis: str) -> recipes.Kind:
        """Return an analysis of a study; raises ConfigError for one that it has not."""
        asked = self.config.studies[study].analyses
        if analysis not in asked:
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(f"{path}: analyses: the study has no {analysis!r}: list it there")
        return asked[analysis]

    def story(self, study: str) -> Stage:
        """Return what tell_story is told."""
        recipe = {"data": recipes.plain(self.config.studies[study].data)}
        return self._stage("tell_story", {"study": study}, recipe)

    def expected_runs(self, study: str) -> dict[str, tuple[str, ...]]:
        """Return folder of a run, or of the baseline → the fingerprints of what made it."""
        own = {}
        if self.has_baseline(study):
            own[paths.BASELINE.format(study=study)] = (self.baseline(study).fingerprint,)
        return own | {
            self.run_folder(study, run): (
                self.train(study, run).fingerprint,
                self.evaluate(study, run).fingerprint,
            )
            for run in self.config.studies[study].runs()
        }

    def plot(self, study: str, figure: str) -> Stage:
        """Return what the rule of a figure is told."""
        drawn = self.config.studies[study].figures
        if figure not in drawn:
            path = self.config.folder / "studies" / f"{study}.yaml"
            raise ConfigError(
                f"{path}: figures: the study draws no {figure!r}: {nearest(figure, drawn)}"
            )
        kind = drawn[figure]
        identity = {"study": study, "figure": figure}
        recipe = recipes.plain(kind) | {"tables": self.tables_read(study, kind.kind)}
        return self._stage("plot", identity, recipe, ("figures", kind.kind))


def gpu_wanted(device: str) -> bool:
    """Tell whether jobs ask for a GPU, from the config, else from what this machine shows.

    Without torch. Of jobs that run on this machine: a cluster's have others.
    """
    return device == "cuda" or (device == "auto" and Path("/dev/nvidiactl").exists())
