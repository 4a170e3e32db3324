"""The plan of analyses that look inside each run; see `measuring`."""

from __future__ import annotations

import functools
from typing import Any

from cobaye import kinds
from cobaye.planning.per_class_plan import PerClassPlan
from cobaye.planning.stages import Stage
from cobaye.recipes.study import Run
from cobaye.storage import paths


def measured_kinds() -> list[str]:
    """Return the kinds of analyses that look inside each run."""
    return [kind for kind in kinds.names("analyses") if kinds.constant("analyses", kind, "STATES")]


class MeasurePlan(PerClassPlan):
    """Everything that can be asked for, and what it takes; see `Plan`."""

    @functools.cache  # noqa: B019 (one plan per process)
    def measure(self, study: str, run: Run, analysis: str, state: str) -> Stage:
        """Return what measure_<analysis> is told of a run in a state."""
        of, asked = self.config.studies[study], self.asked(study, analysis)
        model = of.models[run.model]
        recipe = {
            "options": asked.options,
            "data": of.data,
            "model": model.network,
            "loss": model.loss,
        }
        identity = {**self._identity(study, run), "analysis": analysis, "state": state}
        used = (("networks", model.kind), ("analyses", analysis))
        return self._stage("measure", identity, recipe, *used)

    def join(self, study: str, analysis: str) -> Stage:
        """Return what analyse_<analysis> is told: what was looked at, in the config's order."""
        measured = [{**vars(run), "state": state} for run, state in self._measured(study, analysis)]
        identity = {"study": study, "analysis": analysis}
        return self._stage("join_measures", identity, {"measured": measured})

    def measured_folders(self, study: str, analysis: str) -> list[str]:
        """Return where everything is that an analysis looked at."""
        return list(self.expected_measures(study, analysis))

    def expected_measures(self, study: str, analysis: str) -> dict[str, str]:
        """Return folder → fingerprint of everything that an analysis looked at."""
        stages = [
            self.measure(study, run, analysis, state)
            for run, state in self._measured(study, analysis)
        ]
        return {paths.MEASURE.format(**each.identity): each.fingerprint for each in stages}

    def indicators(self, study: str) -> Stage:
        """Return what analyse_indicators is told: the tables that it reads."""
        self.asked(study, "indicators")
        own = self.config.studies[study].analyses
        reads = kinds.constant("analyses", "indicators", "READS")
        recipe = {"tables": ["metrics", *(reads[each] for each in own if each in reads)]}
        return self._stage("analyse_indicators", {"study": study}, recipe)

    def _measured(self, study: str, analysis: str) -> list[tuple[Run, str]]:
        """Return every run in every state; equal initial networks once."""
        self.asked(study, analysis)
        found: dict[Any, tuple[Run, str]] = {}
        for state in kinds.constant("analyses", analysis, "STATES"):
            for run in self.config.studies[study].runs():
                key = run if state == "trained" else self._beginning(study, run)
                found.setdefault((state, key), (run, state))
        return list(found.values())

    def _beginning(self, study: str, run: Run) -> tuple[Any, ...]:
        """Return what an untrained network and what it is shown depend on."""
        optimizer = self.config.studies[study].optimizers[run.optimizer]
        return run.model, run.seed, optimizer.normalize, optimizer.zca_epsilon
