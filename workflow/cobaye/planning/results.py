"""What the stages after evaluation are told: a function per rule; see `stages`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cobaye import kinds, recipes
from cobaye.config import Config
from cobaye.errors import nearest
from cobaye.planning import facts, hyperparameters, runs, stages
from cobaye.recipes import axes
from cobaye.recipes.study import Run, Study
from cobaye.storage import table_names


def evaluate_best(config: Config, study: str) -> stages.Told:
    """Return the tables that the best run is chosen from, and what it is scored on."""
    of_study = config.studies[study]
    tables = ["grid"] if of_study.grid else ["runs", "history", "metrics"]
    tables += ["derived"] if of_study.derived else []
    recipe = {"trials": None if of_study.grid else hyperparameters.trials(of_study)}
    if facts.scores_test(config, study):
        known = ["metrics", *(["derived-metrics"] if of_study.derived else [])]
        return stages.Told({**recipe, "tables": list(dict.fromkeys(tables + known)), "data": None})
    recipe |= {"tables": tables}
    recipe |= {"data": {model: of_study.data_of(model) for model in of_study.models}}
    uses = {("networks", model.kind) for model in of_study.models.values()}
    everything = [*of_study.runs(), *of_study.derived_runs()]
    return stages.Told(recipe, uses, stages.of_runs(study, everything, "train"))


def describe_models(config: Config, study: str) -> stages.Told:
    """Return the models of a study, and the batches that they are trained on."""
    of_study = config.studies[study]
    sizes = [optimizer.batch_size for optimizer in of_study.optimizers.values()]
    batch_size = next(filter(None, sizes), 1)
    described = {
        name: {
            "network": model.network,
            "loss": model.loss,
            "train_only": model.train_only,
            "precision": of_study.precision,
            "batch_size": batch_size,
        }
        for name, model in of_study.models.items()
    }
    uses = {("networks", model.kind) for model in of_study.models.values()}
    return stages.Told({"data": of_study.data, "models": described}, uses)


def tabulate(config: Config, study: str, maker: str) -> stages.Told:
    """Return the runs whose results are tabulated, in the order of the config."""
    of_study = config.studies[study]
    if maker == table_names.DERIVED:
        derived = list(of_study.derived_runs())
        return stages.Told(
            {"runs": _plain(derived)}, (), stages.of_runs(study, derived, "train", "evaluate")
        )
    has_baseline = facts.has_baseline(config, study)
    recipe = {
        "runs": _plain(of_study.runs()),
        "dataset": of_study.dataset,
        "baseline": has_baseline,
        "grid": hyperparameters.of_study(of_study),
        "confusion": _asked_decays(of_study),
    }
    inputs = stages.of_runs(study, of_study.runs(), "train", "evaluate")
    return stages.Told(
        recipe, (), inputs + [("evaluate_baseline", {"study": study})] * has_baseline
    )


def analyse(config: Config, study: str, maker: str) -> stages.Told:
    """Return the options of an analysis, and what it reads; see `analyses`."""
    of_study, asked = config.studies[study], facts.analysis(config, study, maker)
    states = kinds.constant("analyses", maker, "STATES")
    if states:
        looked_at = runs.inspected(of_study, states)
        recipe = {"inspected": [{**vars(run), "state": state} for run, state in looked_at]}
        inputs = [
            ("inspect_run", {**runs.identity(study, run), "analysis": maker, "state": state})
            for run, state in looked_at
        ]
        return stages.Told(recipe, (), inputs)
    recipe = {"options": asked.options, "data": of_study.sources[0]}
    recipe |= {"tables": facts.tables_of_analysis(config, study, maker)}
    read: list[Run] = []
    if kinds.constant("analyses", maker, "READS_RUNS"):
        read = of_study.runs()
        recipe |= {"runs": _plain(read)}
    if facts.reads_chosen(maker):
        recipe |= {"ways": list(of_study.per_class)}
    if kinds.constant("analyses", maker, "READS_CLASS_DECAY", False):
        recipe |= {"class_decay_runs": _plain(of_study.per_class_runs())}
        read = [*read, *of_study.per_class_runs()]
    inputs = stages.of_runs(study, read, "train", "evaluate")
    if kinds.constant("analyses", maker, "READS_BASELINE", False):
        recipe |= {"baseline": facts.has_baseline(config, study)}
        inputs += [("evaluate_baseline", {"study": study})] * recipe["baseline"]
    augment = {}
    if kinds.constant("analyses", maker, "READS_AUGMENTATIONS", False):
        augment = {name: list(each.augment) for name, each in of_study.optimizers.items()}
        recipe |= {"augment": {name: asked for name, asked in augment.items() if asked}}
    if kinds.axis(maker) in axes.FAMILIES:
        recipe |= {"families": axes.families(of_study.optimizers, kinds.axis(maker))}
    # An analysis that names networks builds them, and so does one over epochs.
    builds = kinds.constant("analyses", maker, "NETWORKS") or kinds.axis(maker) == "epoch"
    built = of_study.models.values() if builds else ()
    uses = {("analyses", maker), *(("networks", model.kind) for model in built)}
    uses |= {("augmentations", each.kind) for asked in augment.values() for each in asked}
    return stages.Told(recipe, uses, inputs)


def inspect_run(
    config: Config, study: str, analysis: str, state: str, **identity: Any
) -> stages.Told:
    """Return the options of an analysis that looks inside a run."""
    of_study = config.studies[study]
    options = facts.analysis(config, study, analysis).options
    recipe = {"options": options, "data": of_study.data_of(identity["model"])}
    network = ("networks", of_study.models[identity["model"]].kind)
    inputs = [("train", {"study": study, **identity})]
    return stages.Told(recipe, (network, ("analyses", analysis)), inputs)


def choose_weight_decay(config: Config, study: str, way: str) -> stages.Told:
    """Return the options of a way, and the trainings that it chooses λ for."""
    of_study = config.studies[study]
    configurations = {(run.model, run.optimizer): run for run in of_study.runs()}
    recipe = {
        "options": facts.way(config, study, way).options,
        "tables": facts.tables_of_way(config, study, way),
        "data": of_study.sources[0],
        "unseen": all(facts.is_unseen(config, data) for data in of_study.sources),
        "trainings": [
            {
                "model": model,
                "optimizer": name,
                "training": stages.without_decay(config, study, run),
            }
            for (model, name), run in configurations.items()
        ],
    }
    return stages.Told(recipe, [("ways", way)])


def compare_expected(config: Config, study: str) -> stages.Told:
    """Return the values that a study should find."""
    expected = config.studies[study].expected
    if not expected:
        raise runs.refuse(config, study, "expected", "the study states no values")
    return stages.Told({"expected": recipes.plain(expected)})


def tell_story(config: Config, study: str) -> stages.Told:
    """Return the tables that a story is told from."""
    _refuse_untold(config, study, "a story")
    of_study = config.studies[study]
    told = (table for table in table_names.STORY_TOO if table in of_study.analyses)
    tables = [*table_names.STORY, *told]
    backbones = "`, `".join(of_study.backbones) or None
    data = recipes.Data(of_study.dataset, backbones)
    return stages.Told({"data": data, "tables": tables})


def write_explorer(config: Config, study: str) -> stages.Told:
    """Return what an explorer shows: the data of each model, the runs, and the tables."""
    _refuse_untold(config, study, "an explorer")
    of_study = config.studies[study]
    shown = (table for table, by in table_names.EXPLORER_TOO.items() if by in of_study.analyses)
    read = of_study.runs()
    recipe = {
        "data": {model: of_study.data_of(model) for model in of_study.models},
        "tables": [*table_names.EXPLORER, *shown],
        "runs": _plain(read),
    }
    return stages.Told(recipe, (), stages.of_runs(study, read, "train", "evaluate"))


def _refuse_untold(config: Config, study: str, what: str) -> None:
    if not facts.has_story(config, study):
        said = f"{what} needs 'classes' there, and two or more weight decays"
        raise runs.refuse(config, study, "analyses", said)


def plot(config: Config, study: str, figure: str) -> stages.Told:
    """Return the kind of a figure, its options, its width, and the tables that it reads."""
    drawn = config.studies[study].figures
    if figure not in drawn:
        said = f"the study draws no {figure!r}: {nearest(figure, drawn)}"
        raise runs.refuse(config, study, "figures", said)
    kind = drawn[figure]
    recipe = recipes.plain(kind) | {
        "tables": facts.tables_of_figure(config, study, kind.kind),
        "width": config.studies[study].figure_width,
    }
    return stages.Told(recipe, [("figures", kind.kind)])


def _asked_decays(study: Study) -> list[str]:
    """Return the λ that options of the study's figures name."""
    named = {figure.options.get("weight_decay") for figure in study.figures.values()}
    return [label for label in study.weight_decays if label in named]


def _plain(read: Iterable[Run]) -> list[dict[str, Any]]:
    return [dict(vars(run)) for run in read]
