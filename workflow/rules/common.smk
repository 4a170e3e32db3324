# The config, checked; what each job is told, and what it asks for.

import base64
import gc
import os
import re
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
    kind for kind in kinds.names("analyses") if not kinds.constant("analyses", kind, "STATES")
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


def caption_of(name):
    """The caption of a report's entry, if its author wrote one."""
    file = WORKFLOW / "report" / f"{name}.rst"
    return str(file) if file.exists() else None


# The parts of a study in the report, which sorts them.
ANSWER, DRAWN, TABULATED, INSIDE_NETWORKS = "1 the answer", "2 figures", "3 tables", "4 inside"


def in_report(file, part, name, caption=None):
    """A file that the report shows, in a part of its study, under a name."""
    caption = caption_of(caption or name)
    return report(
        file, category="{study}", subcategory=part, caption=caption, labels={"shows": name}
    )


def tables_in_report(part, made, caption):
    """The tables of a maker, name → file, each of its own name."""
    return [in_report(f"{TABLES}/{file}", part, name, caption) for name, file in made.items()]


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


def refuse_unreadable_results():
    """Stop, before any job, if a manifest is damaged or of an earlier version that a job would read or
    write. Else Snakemake would delete what depends on it before its owner has decided.
    """
    earlier, problems = [], []
    for path in sorted(manifests_at_stake()):
        try:
            if manifests.is_of_an_earlier_format(path):
                earlier.append(path)
            else:
                verify.manifest_at(path)
        except CobayeError as error:
            if path not in workflow.dag_settings.forcerun:
                problems.append(manifests.with_repair(error, path))
    if earlier and not config.get("recompute"):
        problems.append(
            f"{len(earlier)} results were made by an earlier version of this project, such as "
            f"{earlier[0]}.\nTo make them again: the same command with --config recompute=true\n"
            "To keep them: move results/ and resources/ elsewhere, or go back to that version"
        )
    if problems:
        raise WorkflowError("\n".join(problems))


def manifests_at_stake():
    """The manifests that stand and that a job of this run would read or write."""
    found = set()
    for job in jobs_to_run():
        written = job.output.get("manifests") or [job.output.get("manifest")]
        read = [file for file in job.input if file.endswith(".json")]
        found |= {str(path) for path in [*written, *read] if path and Path(path).exists()}
    return found


def refuse_what_cannot_be_made():
    """Stop, before any job, if a network cannot be built, or a figure names what the data lack."""
    problems = {}
    for job in jobs_to_run():
        if job.rule.name == "train":
            study, model = job.wildcards.study, job.wildcards.model
            problems[study, model] = partial(refusals.of_network, CONFIG, study, model)
        elif job.rule.name.startswith("plot_"):
            study, figure = job.wildcards.study, Path(job.output.manifest).stem
            problems[study, figure] = partial(refusals.of_figure, CONFIG, study, figure)
    found = [problem for look in problems.values() for problem in look()]
    if found:
        raise WorkflowError("\n".join(found))


def refuse_missing_data():
    """Stop, before any job, if a dataset or backbone that is to be prepared cannot be."""
    problems = []
    for job in jobs_to_run():
        if job.rule.name == "prepare_dataset":
            name = job.wildcards.dataset
            missing = facts.dataset_problems(CONFIG, name)
            problems += [f"config/datasets.yaml: {name}: {problem}" for problem in missing]
        elif job.rule.name == "prepare_backbone":
            name = job.wildcards.backbone
            if CONFIG.backbones[name].run is None:
                # Only here, and only for these: it imports torch.
                from cobaye.models import backbones

                missing = backbones.problems(CONFIG.backbones[name])
                problems += [f"config/backbones.yaml: {name}: {problem}" for problem in missing]
    if problems:
        raise WorkflowError("\n".join(problems))


NO_SPACE = (
    "Not enough space is free. Make some, or have the study keep fewer checkpoints: the key keep "
    "(config/README.md)"
)


def refuse_what_does_not_fit():
    """Say, before any job, what each study will write; stop if there is not so much space."""
    lines, fits = disk.said(disk.by_study(CONFIG, jobs_that_write()))
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    if not fits:
        raise WorkflowError(NO_SPACE)


REFUSALS = (
    refuse_unreadable_results,
    refuse_missing_data,
    refuse_what_cannot_be_made,
    refuse_what_does_not_fit,
)


def say_what_would_be_refused():
    """Say at the end of a dry run, if its jobs are known, why a run of them would stop."""
    for refuse in REFUSALS if workflow.dag is not None else ():
        try:
            refuse()
        except WorkflowError as error:
            print(f"Without -n, no job would run:\n{error}", file=sys.stderr, flush=True)


def jobs_to_run():
    """The jobs of this run. At the end of a dry run, all jobs count as finished."""
    return workflow.dag.needrun_jobs(exclude_finished=False)


def what_was_found():
    """The answer of each study that was asked for, once it is told: study → lines."""
    wanted = CONFIG.default_studies if {"all", "default"} & set(TARGETS) else TARGETS
    found = {}
    for study in [study for study in CONFIG.studies if study in wanted]:
        told_by = paths.manifest("tell_story", {"study": study})
        try:
            story = manifests.read_manifest(told_by, "tell_story", {"study": study})
        except CobayeError:
            continue  # not told, or damaged: the job that tells it says so
        found[study] = story.info.get("summary", [])
    return found


def say_what_was_found():
    """Say, after the last job, what was found, and where it is told."""
    for study, lines in what_was_found().items():
        pages = [f"{STUDY}/{name}".format(study=study) for name in ("story.md", "explorer.html")]
        more = f"More: {', '.join(filter(os.path.exists, pages))}"
        print("", study, *lines, more, sep="\n", file=sys.stderr, flush=True)


def landing_page():
    """What report/workflow.rst shows: study → lines, and its one picture, an address in pieces."""
    page = {}
    for study, lines in what_was_found().items():
        picture = Path(f"{FIGURES}/answer.png".format(study=study))
        data = base64.b64encode(picture.read_bytes()).decode() if picture.exists() else ""
        # docutils takes no line of more than 10,000 letters.
        pieces = [data[start : start + 5000] for start in range(0, len(data), 5000)]
        page[study] = {"lines": lines, "picture": data and ["data:image/png;base64,", *pieces]}
    return page


def jobs_that_write():
    """The jobs that leave something large, those of groups run by run."""
    for job in jobs_to_run():
        name, identity = GROUPS.get(job.rule.name, (job.rule.name, dict(job.wildcards.items())))
        if name in disk.PARTS:
            yield from disk.jobs(CONFIG, name, identity, job.output)
