"""The studies of the course's ConvNet are the report's, and their first epochs run."""

from __future__ import annotations

import dataclasses
import itertools

import pandas as pd
import pytest

from cobaye import figures, recipes
from cobaye.config import Config
from cobaye.models import layers
from cobaye.planning import runs, targets
from cobaye.planning.plan import Plan
from cobaye.storage import files, paths
from cobaye.training import loop
from tests import archives
from tests.conftest import ROOT
from tests.jobs import job

PARTS = ("", "-schedules", "-optimizers", "-ablation")
STEPS = [
    ("convnet", "base"),
    ("convnet", "normalized"),
    ("convnet", "augmented"),
    ("convnet", "momentum-decay"),
    ("dropout", "momentum-decay"),
    ("batch-norm", "momentum-decay"),
]


@pytest.fixture(scope="module")
def config():
    return Config({"studies": ["glyphs-convnet"]}, ROOT / "config", figures.names())


def changed(before, after):
    """Return the fields in which two recipes differ."""
    return {
        f.name for f in dataclasses.fields(before) if vars(before)[f.name] != vars(after)[f.name]
    }


@pytest.mark.parametrize("part", PARTS)
def test_the_first_epochs_of_a_faithful_study(config, part, tmp_path):
    """On images of CIFAR-10's shape, made here: nothing can be downloaded."""
    study = f"cifar10-convnet{part}"
    plan, of = Plan(config, ROOT / "workflow/scripts"), config.studies[study]
    archives.write_blots(tmp_path, "cifar10", (3, 32, 32), per_class=3)
    for number, run in enumerate(of.runs()):
        told = plan.stage("train", **runs.identity(study, run))
        recipe = recipes.parse(recipes.Training, told.recipe)
        short = dataclasses.replace(recipe.optimizer, epochs=2)
        recipe = dataclasses.replace(recipe, optimizer=short)
        folder = loop.train(job("train", told.identity, recipe, tmp_path, code=told.code)).parent
        history = pd.read_csv(folder / "history.csv")
        assert list(history["epoch"]) == [0, 1, 2]
        # The first of each study is plain SGD with a small step, here of the whole split at once.
        if number == 0:
            assert history["loss"][2] < history["loss"][1]
    described = plan.stage("describe_models", study=study)
    layers.describe_models(
        job("describe_models", described.identity, described.recipe, tmp_path, code=described.code)
    )
    table = pd.read_csv(tmp_path / paths.TABLES.format(study=study) / "layers.csv")
    table = table[table["model"] == "convnet"].set_index("layer")["parameters"]
    assert (table["body.conv2"], table["total"]) == (51_264, 231_170)
    assert f"results/{study}/tables/layers.csv" in targets.of_study(plan.config, study)


def test_the_sweep_is_the_reports(config):
    optimizers = config.studies["cifar10-convnet"].optimizers.values()
    assert [(one.learning_rate, one.batch_size) for one in optimizers] == [
        *((0.1, 128), (0.5, 128), (0.5, 512), (1, 128), (1, 512), (2, 128), (2, 512), (0.1, 300))
    ]
    assert [one.epochs for one in optimizers][-1] == 150
    assert {one.normalize for one in optimizers} == {"none"}


@pytest.mark.parametrize("data", ["cifar10", "glyphs"])
def test_each_step_of_the_ablation_changes_one_thing(config, data):
    study = config.studies[f"{data}-convnet-ablation"]
    runs = study.runs()
    assert [(run.model, run.optimizer) for run in runs] == STEPS
    recipes_of = [study.optimizers[run.optimizer] for run in runs]
    assert [changed(*pair) for pair in itertools.pairwise(recipes_of)] == [
        *({"normalize"}, {"augment"}, {"algorithm", "schedule"}, set(), set())
    ]
    options = [study.models[run.model].options for run in runs]
    added = [
        {key for key in before if before[key] != after[key]}
        for before, after in itertools.pairwise(options)
    ]
    assert added == [set(), set(), set(), {"dropout"}, {"batch_norm"}]


@pytest.mark.parametrize("data", ["cifar10", "glyphs"])
def test_schedules_differ_in_nothing_else(config, data):
    first, *others = config.studies[f"{data}-convnet-schedules"].optimizers.values()
    assert {one.schedule.kind for one in others} == {"time-based", "step", "exponential"}
    assert all(changed(first, one) == {"schedule"} for one in others)


def test_the_twins_train_on_grey_images(config, tmp_path):
    plan = Plan(config, ROOT / "workflow/scripts")
    archives.write_blots(tmp_path, "glyphs20", (1, 32, 32))
    study = "glyphs-convnet"
    run = config.studies[study].runs()[-2]
    told = plan.stage("train", **runs.identity(study, run))
    recipe = recipes.parse(recipes.Training, told.recipe)
    folder = loop.train(job("train", told.identity, recipe, tmp_path, code=told.code)).parent
    state = files.read_json(folder / "run.json")
    assert run.optimizer == "lr1e6-batch16"
    assert state["stopped"].startswith("diverged in epoch"), state["stopped"]
