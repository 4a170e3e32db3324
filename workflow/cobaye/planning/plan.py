"""The plan: identity, recipe and code digest of each job of the workflow.

Snakemake compares recipe and code by value; the job writes all three into its manifest. The recipes
are those of the functions in `stages` and `results`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from cobaye import recipes
from cobaye.config import Config
from cobaye.planning import results, runs, stages
from cobaye.recipes.study import Run
from cobaye.storage import files, manifests, paths
from cobaye.storage.code_digest import code_digest

RECIPES = {
    function.__name__: function
    for function in (
        stages.fetch_dataset,
        stages.prepare_dataset,
        stages.fetch_weights,
        stages.prepare_backbone,
        stages.cache_features,
        stages.gather_features,
        stages.train,
        stages.evaluate,
        stages.evaluate_baseline,
        results.evaluate_best,
        results.describe_models,
        results.tabulate,
        results.analyse,
        results.inspect_run,
        results.choose_weight_decay,
        results.compare_expected,
        results.tell_story,
        results.write_explorer,
        results.plot,
    )
}
NUMBERS = ("seed", "shard", "shards")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One job. fingerprint: the sha256 of recipe and code, as `Job.read` compares it."""

    identity: dict[str, Any]
    recipe: dict[str, Any]
    code: str
    inputs: tuple[tuple[str, dict[str, Any]], ...] = ()
    uses: tuple[tuple[str, str], ...] = ()

    @property
    def fingerprint(self) -> str:
        """The sha256 of what the job is made from, its inputs aside."""
        return manifests.stage_fingerprint(self.recipe, self.code)


class Plan:
    """The jobs of a checked config. scripts: the folder of the rules' scripts."""

    def __init__(self, config: Config, scripts: Path):
        self.config, self.scripts = config, scripts
        self._stages: dict[Any, Stage] = {}
        self._expected: dict[Any, tuple[str, str]] = {}
        self._groups: dict[tuple[str, str, str], Stage] = {}

    def stage(self, rule: str, **wildcards: Any) -> Stage:
        """Return the job of a rule; raises ConfigError for one that the config does not have."""
        identity = {
            key: int(value) if key in NUMBERS else str(value) for key, value in wildcards.items()
        }
        key = _key(rule, identity)
        if key not in self._stages:
            told = RECIPES[rule](self.config, **identity)
            uses = tuple(sorted(set(told.uses)))
            script = self.scripts / f"{self._script(rule, identity)}.py"
            recipe, code = recipes.plain(told.recipe), code_digest(script, uses)
            self._stages[key] = Stage(identity, recipe, code, tuple(told.inputs), uses)
        return self._stages[key]

    def expected(self, rule: str, **wildcards: Any) -> dict[str, str]:
        """Return manifest → fingerprint of what a job reads, as the config gives it now."""
        inputs = self.stage(rule, **wildcards).inputs
        return dict(self._manifest(stage, identity) for stage, identity in inputs)

    def _manifest(self, rule: str, identity: dict[str, Any]) -> tuple[str, str]:
        """Return the path of a job's manifest and the job's fingerprint."""
        key = _key(rule, identity)
        if key not in self._expected:
            fingerprint = self.stage(rule, **identity).fingerprint
            self._expected[key] = paths.manifest(rule, identity), fingerprint
        return self._expected[key]

    def together(self, rule: str, study: str, group: str) -> Stage:
        """Return the job that trains or evaluates a group of runs: `train` or `evaluate` of each.

        A run of its recipe has identity, recipe, code, uses and expected.
        """
        key = rule, study, group
        if key not in self._groups:
            self._groups[key] = self._together(*key)
        return self._groups[key]

    def _together(self, rule: str, study: str, group: str) -> Stage:
        told = []
        for run in runs.groups(self.config.studies[study])[group]:
            identity = runs.identity(study, run)
            stage = self.stage(rule, **identity)
            parts = {key: getattr(stage, key) for key in ("identity", "recipe", "code", "uses")}
            told.append({**parts, "expected": self.expected(rule, **identity)})
        code = files.digest([run["code"] for run in told])
        return Stage({"study": study, "group": group}, {"runs": told}, code)

    def _script(self, rule: str, identity: dict[str, Any]) -> str:
        """Return the script of a job: runs of a study with `together` have another than a run."""
        if rule not in ("train", "evaluate"):
            return rule
        study = self.config.studies[identity["study"]]
        run = Run(**{key: value for key, value in identity.items() if key != "study"})
        stacked = study.together and runs.origins(study)[run] == "config"
        return f"{rule}_together" if stacked else rule


def _key(rule: str, identity: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a job from all others; a rule's wildcards are always the same."""
    return rule, *(identity[name] for name in sorted(identity))
