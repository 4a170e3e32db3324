# What each rule's job asks for. Run locally, a resource that has no limit limits nothing.

import dataclasses

from cobaye import kinds, recipes
from cobaye.planning import group_resources, resources
from cobaye.planning.plan import gpu_wanted


def GPU(wildcards):
    """Jobs of other machines get a GPU where the config says so, whatever this one shows."""
    elsewhere = workflow.remote_exec or not workflow.local_exec
    return int(CONFIG.device == "cuda" if elsewhere else gpu_wanted(CONFIG.device))


def asks(needs):
    """A rule's memory and time, functions of the wildcards. Evaluated twice: for a dry run's
    listing, and when all input of a job is there.

    A job that was ended may have lacked memory; one that lacked time is a training, and goes on.
    """
    return {
        "mem_mb": lambda wildcards, attempt: attempt * needs(wildcards).megabytes,
        "runtime": lambda wildcards: needs(wildcards).minutes,
    }


def sizes_of(data):
    """The sizes of what a study learns from."""
    sizes = resources.of_dataset(CONFIG.datasets[data.dataset])
    if data.backbone is None:
        return sizes
    caching = CONFIG.backbones[data.backbone].caching
    return resources.of_features(sizes, data, caching, PLAN.backbone_model(data.backbone))


def dataset_needs(wildcards):
    data = recipes.Data(wildcards.dataset, None)
    return resources.preparing(CONFIG.datasets[wildcards.dataset], sizes_of(data))


def shard_needs(wildcards):
    backbone = CONFIG.backbones[wildcards.backbone]
    model, count = PLAN.backbone_model(wildcards.backbone), int(wildcards.shards)
    sizes = sizes_of(recipes.Data(wildcards.dataset, None))
    return resources.caching(backbone.caching, model, sizes, count, backbone.threads)


def features_needs(wildcards):
    sizes = sizes_of(recipes.Data(wildcards.dataset, wildcards.backbone))
    return resources.reading(sizes, wildcards.split)


def train_needs(wildcards):
    of = CONFIG.studies[wildcards.study]
    model, optimizer = of.models[wildcards.model], of.optimizers[wildcards.optimizer]
    return resources.training(model, optimizer, sizes_of(of.data), of.threads)


def evaluate_needs(wildcards):
    of = CONFIG.studies[wildcards.study]
    recipe = recipes.Evaluation(of.data, of.models[wildcards.model], of.train_epochs)
    epochs = of.optimizers[wildcards.optimizer].epochs
    return resources.evaluating(recipe, epochs, sizes_of(of.data))


def group_needs(study, group, evaluated):
    """Of runs side by side, trained or evaluated."""

    def found(wildcards):
        of, runs = CONFIG.studies[study], PLAN.groups(study)[group]
        models = [of.models[run.model] for run in runs]
        optimizer, sizes = of.optimizers[runs[0].optimizer], sizes_of(of.data)
        if evaluated:
            epochs = optimizer.epochs
            return group_resources.evaluating(models, epochs, of.evaluate_splits, sizes)
        return group_resources.training(models, optimizer, sizes, of.threads)

    return found


def derived_needs(evaluated):
    """Of a derived run: as much as any that it may turn out to be."""

    def found(wildcards):
        of = CONFIG.studies[wildcards.study]
        by, _ = of.derived_runs()[run_of(wildcards)]
        models, sizes = [of.models[name] for name in by.among], sizes_of(of.data)
        if evaluated:
            each = [recipes.Evaluation(of.data, model, of.train_epochs) for model in models]
            needs = [resources.evaluating(recipe, by.epochs, sizes) for recipe in each]
        else:
            each = [dataclasses.replace(o, epochs=by.epochs) for o in of.optimizers.values()]
            needs = [
                resources.training(model, optimizer, sizes, of.threads)
                for model in models
                for optimizer in each
            ]
        return resources.Needs(*map(max, zip(*needs)))

    return found


def best_needs(wildcards):
    sizes = sizes_of(CONFIG.studies[wildcards.study].data)
    return resources.reading(sizes, "test")


def baseline_needs(wildcards):
    data = CONFIG.studies[wildcards.study].data
    recipe = recipes.Evaluation(data, recipes.Kind("linear", {}), "last")
    return resources.evaluating(recipe, 0, sizes_of(data))


def tabulate_needs(wildcards):
    of = CONFIG.studies[wildcards.study]
    return resources.tabulating(len(of.runs()), sizes_of(of.data))


def classes_needs(wildcards):
    """The memory of tabulate, which holds more of each prediction; and time for the draws: 8 s of
    one core were measured for 2,000 of 75,000 images (benchmarks/inference.py).
    """
    of = CONFIG.studies[wildcards.study]
    needs = tabulate_needs(wildcards)
    draws = of.analyses["classes"].options["draws"] if "classes" in of.analyses else 0
    return needs._replace(minutes=needs.minutes + 5 * (1 + draws // 2000))


def measure_needs(analysis):
    """As much as to evaluate some checkpoints on the data that the analysis reads: assumed; and
    the megabytes that its option `memory` lets it hold.
    """

    def found(wildcards):
        of = CONFIG.studies[wildcards.study]
        recipe = recipes.Evaluation(of.data, of.models[wildcards.model], "last")
        passes = kinds.constant("analyses", analysis, "PASSES", 0)
        needs = resources.evaluating(recipe, passes, sizes_of(of.data))
        held = PLAN.asked(wildcards.study, analysis).options.get("memory", 0)
        return needs._replace(megabytes=needs.megabytes + held)

    return found


def choose_needs(wildcards):
    """Of a way that trains: as much as the training that takes longest, for each of its folds."""
    of = CONFIG.studies[wildcards.study]
    if not splits_of_way(wildcards):
        return resources.LIGHT
    needs = [
        resources.training(model, optimizer, sizes_of(of.data), of.threads)
        for model in of.models.values()
        for optimizer in of.optimizers.values()
    ]
    longest = resources.Needs(*map(max, zip(*needs)))
    return longest._replace(
        megabytes=2 * longest.megabytes,
        minutes=longest.minutes * of.per_class[wildcards.way].options.get("folds", 1),
    )


def light_needs(wildcards):
    return resources.LIGHT
