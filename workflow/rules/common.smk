# The config, checked; and what every rule asks of it.

import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.basedir) / "workflow"
# This tree's library, here and in the scripts, whatever else is installed.
sys.path.insert(0, str(WORKFLOW))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(WORKFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
)
# A script whose Snakemake is gone ends too (workflow/scripts/_worker.py).
os.environ["COBAYE_WORKFLOW_PID"] = str(os.getpid())

from cobaye import figures, kinds, paths, recipes
from cobaye.config import Config
from cobaye.errors import CobayeError
from cobaye.plan import Plan, is_stale

try:
    CONFIG = Config(config, Path("config"), figures.names())
except CobayeError as error:
    raise WorkflowError(str(error)) from None
PLAN = Plan(CONFIG, WORKFLOW / "scripts")
# Decided without importing torch. A cluster's head node has no GPU: say `device: cuda` there.
GPU = int(CONFIG.device == "cuda" or (CONFIG.device == "auto" and Path("/dev/nvidiactl").exists()))


def one_of(names):
    return "|".join(sorted({re.escape(str(name)) for name in names}))


wildcard_constraints:
    study=one_of(CONFIG.studies),
    dataset=one_of(CONFIG.datasets),
    backbone=one_of(CONFIG.backbones),
    split=one_of(paths.SPLITS),
    model=one_of(name for of in CONFIG.studies.values() for name in of.models),
    optimizer=one_of(name for of in CONFIG.studies.values() for name in of.optimizers),
    weight_decay=one_of(label for of in CONFIG.studies.values() for label in of.weight_decays),
    seed=one_of(seed for of in CONFIG.studies.values() for seed in of.seeds),
    shard=r"\d\d",
    shards=r"\d\d",


def run_of(wildcards):
    return recipes.Run(
        wildcards.model, wildcards.optimizer, wildcards.weight_decay, int(wildcards.seed)
    )


def told(stage):
    """What a rule's params say, each a function of the wildcards; `stage` makes them a Stage."""
    return {
        "identity": lambda wildcards: stage(wildcards).identity,
        "recipe": lambda wildcards: stage(wildcards).recipe,
        "code": lambda wildcards: stage(wildcards).code,
    }


def forced_if_stale(manifest, stage):
    """An input function that names no input, but has the job run if its manifest stands for
    something else than the config. Snakemake's records say so too, but do not travel with results.
    """

    def no_input(wildcards):
        path = manifest.format(**wildcards)
        if workflow.is_main_process and is_stale(path, stage(wildcards)):
            workflow.dag.forcefiles.add(path)
        return []

    return no_input


def refuse_missing_data():
    """Stop, before any job, if a dataset that is to be prepared cannot be."""
    problems = []
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "prepare_dataset":
            kind = CONFIG.datasets[job.wildcards.dataset].kind
            options = kinds.options("datasets", kind.kind)(**kind.options)
            for problem in kinds.load("datasets", kind.kind).problems(options):
                problems.append(f"config/datasets.yaml: {job.wildcards.dataset}: {problem}")
    if problems:
        raise WorkflowError("\n".join(problems))
