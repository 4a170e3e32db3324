# The config, checked; what each job is told, and what it asks for.

import gc
import os
import re
import runpy
import sys
from functools import partial
from pathlib import Path

from snakemake.api import DAGApi
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# What was imported until now stays to the end: the collector of garbage looks at it no more, which
# takes a fifth of the time of a call that has nothing to do.
gc.freeze()

WORKFLOW = Path(workflow.current_basedir).parent
# This tree's library, whatever else is installed.
sys.path.insert(0, str(WORKFLOW))

from cobaye import figures, kinds
from cobaye.config import Config, yaml_files
from cobaye.errors import CobayeError, nearest
from cobaye.planning import asked, disk, facts, needs, refusals, runs, targets
from cobaye.planning.plan import Plan
from cobaye.recipes.study import Run
from cobaye.storage import code_digest, manifests, parsed_sources, paths, table_names, verify
from cobaye.storage.paths import BACKBONE, BASELINE, BEST, CHOSEN, DATASET, FEATURES, FIGURES
from cobaye.storage.paths import INSIDE, LOGS, RUN, SHARD, SPLITS, STUDY, TABLES
from cobaye.storage.staleness import is_stale

CONFIG_FILE = Path("config/config.yaml")
try:
    # Read strictly before Snakemake reads it: a key that stands twice, or what is no UTF-8.
    if CONFIG_FILE.exists() and "__use_yte__" in yaml_files.read_yaml(CONFIG_FILE):
        raise CobayeError(f"{CONFIG_FILE}: __use_yte__: config files are data: leave it out")
except CobayeError as error:
    raise WorkflowError(str(error)) from None


configfile: CONFIG_FILE


parsed_sources.keep_in(Path(".snakemake/cobaye-sources.json"))
try:
    CONFIG = Config(config, Path("config"), figures.names())
    PLAN = Plan(CONFIG, WORKFLOW / "scripts")
    # Code that is missing is said here: what an input function raises counts for nothing where the
    # output is there. Not in jobs: their run began before the code went.
    if workflow.is_main_process:
        for name in CONFIG.callables:
            PLAN.stage("prepare_backbone", backbone=name)
except CobayeError as error:
    raise WorkflowError(str(error)) from None
FORKS = runpy.run_path(str(WORKFLOW / "scripts/_forks.py"))
# What jobs compare with the code that they find: see `Job.refuse_edited_code`.
code_digest.announce_tree()


def asked_for():
    """What this call asks Snakemake for, as texts, and what else was said; without either, nothing is
    known. The rules are read before `workflow.dag_settings` is set, by the function that sets it.
    """
    frame = sys._getframe()
    while frame and not isinstance(frame.f_locals.get("self"), DAGApi):
        frame = frame.f_back
    if frame is None:
        return [""], []
    settings, main = frame.f_locals["self"].dag_settings, Path(str(workflow.main_snakefile))
    jobs = [" ".join([job.rulename, *job.wildcards_dict.values()]) for job in settings.target_jobs]
    else_said = [*settings.forcerun, *settings.until, *settings.omit_from, *sys.argv]
    else_said += [main.read_text(encoding="utf-8")] if main.is_file() else []
    return [*settings.targets, *jobs] or ["default"], else_said


TARGETS, else_said = asked_for()
try:
    STUDIES, warnings = asked.studies(CONFIG, TARGETS, else_said)
except CobayeError as error:
    raise WorkflowError(str(error)) from None
for warning in warnings:
    logger.warning(f"{warning}\nThis study is left out.")

TOGETHER = [(study.name, group) for study in STUDIES for group in runs.groups(study)]
# Their jobs: rule → what each run's rule is, and which group.
GROUPS = {
    f"{name}_together_{study}_{group}": (name, {"study": study, "group": group})
    for name in ("train", "evaluate")
    for study, group in TOGETHER
}
ACROSS_RUNS = [
    kind
    for kind in kinds.with_variants("analyses")
    if not kinds.constant("analyses", kind, "STATES")
]
INSIDE_RUNS = [kind for kind in kinds.names("analyses") if kind not in ACROSS_RUNS]


def one_of(names):
    """A wildcard's constraint: one of these names."""
    return "|".join(sorted({re.escape(str(name)) for name in names})) or "(?!)"


# A part of a path. Whether there is such a study or run is looked up when it is asked for: a list of
# all would have to be read in each of the patterns of some hundred outputs.
PART = "[^/]+"


wildcard_constraints:
    study=PART,
    dataset=one_of(CONFIG.datasets),
    backbone=one_of(CONFIG.backbones),
    split=one_of(SPLITS),
    model=PART,
    optimizer=PART,
    weight_decay=PART,
    seed="0|[1-9][0-9]*",
    way=one_of(kinds.names("ways")),
    state=one_of(paths.STATES),
    shard=r"\d\d",
    shards=r"\d\d",


def told(rule, **fixed):
    """The params of a rule: what its job is told. fixed: parts of its identity that are no wildcards."""

    def part(name):
        return lambda wildcards: getattr(PLAN.stage(rule, **wildcards, **fixed), name)

    parts = {name: part(name) for name in ("identity", "recipe", "code", "uses")}
    return {**parts, "expected": lambda wildcards: PLAN.expected(rule, **wildcards, **fixed)}


def told_unrecorded(rule):
    """`told`, of which Snakemake keeps no record, as each part seems to depend on `output`: for a rule
    with temporary output, which is made when it is needed and not because something changed.
    """

    def unrecorded(part):
        return lambda wildcards, output: part(wildcards)

    return {name: unrecorded(part) for name, part in told(rule).items()}


def told_together(rule, study, group):
    """The params of a rule that trains or evaluates a group of runs."""

    def part(name):
        return lambda wildcards: getattr(PLAN.together(rule, study, group), name)

    return {
        **{name: part(name) for name in ("identity", "recipe", "code")},
        "uses": (),
        "expected": {},
    }


def asks(rule, **fixed):
    """The memory, time and GPU of a rule. A job that was ended may have lacked memory: more of it."""
    need = getattr(needs, rule)
    return {
        "mem_mb": lambda wildcards, attempt: attempt * need(CONFIG, **wildcards, **fixed).megabytes,
        "runtime": lambda wildcards: need(CONFIG, **wildcards, **fixed).minutes,
    }


# Of a job that only reads small files, or copies one.
LIGHT = needs.LIGHT._asdict()
LIGHT = {"mem_mb": LIGHT["megabytes"], "runtime": LIGHT["minutes"]}


def GPU(wildcards):
    elsewhere = workflow.remote_exec or not workflow.local_exec
    return int(facts.gpu_wanted(CONFIG.device, elsewhere, facts.shows_gpu()))


def rerun_if_stale(rule, jobs=None, whole=False, **fixed):
    """An input function that names no input, but has a job run if its manifest stands for something
    else than the config. Snakemake's records say so too, but do not travel with results.

    jobs: identities, where one job writes several manifests. whole: whether the files that the
    manifest covers count too.
    """

    def no_input(wildcards):
        for identity in jobs or [{**wildcards, **fixed}]:
            try:
                refuse_unknown_study(identity.get("study"))
                stage = PLAN.stage(rule, **identity)
            except CobayeError as error:
                raise WorkflowError(str(error)) from None
            path = paths.manifest(rule, stage.identity)
            if workflow.is_main_process and is_stale(path, stage.fingerprint, whole):
                workflow.dag.forcefiles.add(path)
        return []

    return no_input


def refuse_unknown_study(name):
    """Refuse a study that there is not, and one whose rules were not made: see `asked_for`."""
    if name is None:
        return
    if name not in CONFIG.studies:
        raise CobayeError(f"config/studies: no study {name!r}: {nearest(name, CONFIG.studies)}")
    if CONFIG.studies[name].together and CONFIG.studies[name] not in STUDIES:
        raise CobayeError(f"{name} trains its runs together: name it too: snakemake {name}")
