# The config, checked, and everything that the rules ask of it.

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.basedir) / "workflow"
# This tree's library, whatever else is installed.
sys.path.insert(0, str(WORKFLOW))

from cobaye import figures, kinds, recipes
from cobaye.config import Config
from cobaye.errors import CobayeError
from cobaye.planning.measure_plan import MeasurePlan, measured_kinds
from cobaye.recipes import study as study_recipes
from cobaye.storage import paths, table_names as table_files
from cobaye.storage.staleness import is_stale
from cobaye.storage.table_names import DESCRIPTIONS

try:
    CONFIG = Config(config, Path("config"), figures.names())
except CobayeError as error:
    raise WorkflowError(str(error)) from None
PLAN = MeasurePlan(CONFIG, WORKFLOW / "scripts")

# The manifest of each stage: small, without times, the one plain input of the stage after it.
DATASET_MANIFEST = f"{paths.DATASET}/manifest.json"
BACKBONE_MANIFEST = f"{paths.BACKBONE}.json"
SHARD_MANIFEST = f"{paths.SHARD}.json"
FEATURES_MANIFEST = f"{paths.FEATURES}/manifest.json"
TRAIN_MANIFEST = f"{paths.RUN}/train.json"
EVALUATE_MANIFEST = f"{paths.RUN}/evaluate.json"
BASELINE_MANIFEST = f"{paths.BASELINE}/baseline.json"
DERIVED_MANIFEST = f"{paths.TABLES}/derived.json"
BEST_MANIFEST = f"{paths.BEST}/best.json"
CHOSEN_MANIFEST = paths.CHOSEN.replace(".csv", ".json")
LAYERS_MANIFEST = f"{paths.TABLES}/layers.json"
TABLES_MANIFEST = f"{paths.TABLES}/tables.json"
STORY_MANIFEST = f"{paths.STUDY}/story.json"


def one_of(names):
    return "|".join(sorted({re.escape(str(name)) for name in names})) or NOTHING


# A study trains and evaluates its runs one by one, or some of them side by side.
NOTHING = "(?!)"
ONE_BY_ONE = [name for name, of in CONFIG.studies.items() if not of.together]
GROUPS = [(study, group) for study in CONFIG.studies for group in PLAN.groups(study)]
# A derived run's name is no model's, so that the two kinds of runs have different paths.
MODELS = [name for of in CONFIG.studies.values() for name in of.models]
OPTIMIZERS = [name for of in CONFIG.studies.values() for name in of.optimizers]
DERIVED = [run for of in CONFIG.studies.values() for run in of.derived_runs()]
LABELS = [label for of in CONFIG.studies.values() for label in of.weight_decays]
WAYS = [way for of in CONFIG.studies.values() for way in of.per_class]
PER_CLASS = [study_recipes.per_class_label(way) for way in WAYS]


wildcard_constraints:
    study=one_of(CONFIG.studies),
    dataset=one_of(CONFIG.datasets),
    backbone=one_of(CONFIG.backbones),
    split=one_of(paths.SPLITS),
    model=one_of([*MODELS, *(run.model for run in DERIVED)]),
    optimizer=one_of([*OPTIMIZERS, *(run.optimizer for run in DERIVED)]),
    weight_decay=one_of([*LABELS, *PER_CLASS]),
    way=one_of(WAYS),
    seed=one_of(seed for of in CONFIG.studies.values() for seed in of.seeds),
    state=one_of(paths.STATES),
    shard=r"\d\d",
    shards=r"\d\d",


# What each rule's job is told, by its wildcards.


def dataset_stage(wildcards):
    return PLAN.dataset(wildcards.dataset)


def backbone_stage(wildcards):
    return PLAN.backbone(wildcards.backbone)


def shard_stage(wildcards):
    return PLAN.shard(wildcards.dataset, wildcards.backbone, wildcards.split, wildcards.shard)


def features_stage(wildcards):
    return PLAN.features(wildcards.dataset, wildcards.backbone, wildcards.split)


def run_of(wildcards):
    return study_recipes.Run(
        wildcards.model, wildcards.optimizer, wildcards.weight_decay, int(wildcards.seed)
    )


def train_stage(wildcards):
    return PLAN.train(wildcards.study, run_of(wildcards))


def choose_stage(wildcards):
    return PLAN.choose(wildcards.study, wildcards.way)


def train_splits(wildcards):
    return PLAN.train_splits(wildcards.study, run_of(wildcards))


def evaluate_stage(wildcards):
    return PLAN.evaluate(wildcards.study, run_of(wildcards))


def baseline_stage(wildcards):
    return PLAN.baseline(wildcards.study)


def best_stage(wildcards):
    return PLAN.best(wildcards.study)


def train_derived_stage(wildcards):
    return PLAN.train_derived(wildcards.study, run_of(wildcards))


def evaluate_derived_stage(wildcards):
    return PLAN.evaluate_derived(wildcards.study, run_of(wildcards))


def tabulate_derived_stage(wildcards):
    return PLAN.tabulate_derived(wildcards.study)


def describe_stage(wildcards):
    return PLAN.describe(wildcards.study)


def tabulate_stage(wildcards):
    return PLAN.tabulate(wildcards.study)


def measure_stage(analysis):
    return lambda wildcards: PLAN.measure(
        wildcards.study, run_of(wildcards), analysis, wildcards.state
    )


def join_stage(analysis):
    return lambda wildcards: PLAN.join(wildcards.study, analysis)


def analysis_stage(analysis):
    return lambda wildcards: PLAN.analyse(wildcards.study, analysis)


def indicators_stage(wildcards):
    return PLAN.indicators(wildcards.study)


def story_stage(wildcards):
    return PLAN.story(wildcards.study)


def figure_stage(figure):
    return lambda wildcards: PLAN.plot(wildcards.study, figure)


def told(stage):
    """What a rule's params say, each a function of the wildcards."""
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
        try:
            expected = stage(wildcards)
        except CobayeError as error:
            raise WorkflowError(str(error)) from None
        path = manifest.format(**wildcards)
        if workflow.is_main_process and is_stale(path, expected.fingerprint):
            workflow.dag.forcefiles.add(path)
        return []

    return no_input


def group_stage(study, group, evaluated):
    return lambda wildcards: PLAN.group(study, group, evaluated=evaluated)


def of_group(study, group, product):
    """A product of each run of a group."""
    return [f"{PLAN.run_folder(study, run)}/{product}" for run in PLAN.groups(study)[group]]


def forced_if_any_is_stale(study, group, evaluated):
    """As forced_if_stale, for the runs of a group."""
    product = "evaluate.json" if evaluated else "train.json"
    stage = PLAN.evaluate if evaluated else PLAN.train
    each = [
        forced_if_stale(path, lambda wildcards, run=run: stage(study, run))
        for run, path in zip(PLAN.groups(study)[group], of_group(study, group, product))
    ]
    return lambda wildcards: [no_input for one in each for no_input in one({})]


def refuse_missing_data():
    """Stop, before any job, if a dataset or backbone that is to be prepared cannot be."""
    problems = []
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "prepare_dataset":
            name = job.wildcards.dataset
            found = PLAN.dataset_problems(name)
            problems += [f"config/datasets.yaml: {name}: {problem}" for problem in found]
        elif job.rule.name == "prepare_backbone" and not PLAN.backbone_run(job.wildcards.backbone):
            # Only here, and only for these: it imports torch.
            from cobaye.models import backbones

            name = job.wildcards.backbone
            found = backbones.problems(CONFIG.backbones[name])
            problems += [f"config/backbones.yaml: {name}: {problem}" for problem in found]
    if problems:
        raise WorkflowError("\n".join(problems))
