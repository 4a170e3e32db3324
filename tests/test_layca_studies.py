"""The studies of VGG-16 and Layca are the report's, and their first epochs run."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from cobaye import figures, recipes
from cobaye.config import Config
from cobaye.planning import runs
from cobaye.planning.plan import Plan
from cobaye.training import loop, phases
from tests import archives
from tests.conftest import ROOT
from tests.jobs import job


@pytest.fixture(scope="module")
def config():
    return Config({"studies": ["glyphs-layca"]}, ROOT / "config", figures.names())


def test_the_nine_models_are_the_reports(config):
    """S2.2 to S2.6."""
    study = config.studies["cifar10-layca"]
    (model,) = study.models.values()
    assert (model.kind, model.options["width"]) == ("vgg16", 1)
    assert not study.penalize_bias
    rates = {
        "sgd": ("sgd", "0", (0.00125, 0.003, 0.1)),
        "wd": ("sgd", "0.002", (0.0007, 0.00245, 0.12)),
        "layca": ("layca", "0", (0.0004, 0.001, 0.03)),
    }
    expected = {
        f"{family}-{level}": (kind, (label,), rate)
        for family, (kind, label, each) in rates.items()
        for level, rate in enumerate(each)
    }
    found = {
        name: (each.algorithm.kind, study.decays(name), each.learning_rate)
        for name, each in study.optimizers.items()
    }
    assert found == expected
    plateau = {"quantity": "val_accuracy", "factor": 0.2, "patience": 2, "threshold": 1e-4}
    for name, each in study.optimizers.items():
        assert each.algorithm.options["momentum"] == 0.9
        assert each.algorithm.options["nesterov"]
        assert each.schedule.kind == "plateau"
        assert plateau.items() <= each.schedule.options.items()
        assert each.batch_size == (256 if name == "sgd-0" else 128)
        assert (each.epochs, each.stop.train_accuracy, each.stop.early) == (50, 0.99, None)
        assert (each.normalize, each.augment) == ("global", ())
    parts = config.datasets["cifar10"].kind.options
    assert parts["name"] == "CIFAR10"
    assert parts["splits"]["val"] == {"of": "train", "last": 10_000}


def test_the_twin_has_the_same_families_and_levels(config):
    faithful, twin = (config.studies[f"{data}-layca"] for data in ("cifar10", "glyphs"))
    assert list(faithful.optimizers) == list(twin.optimizers)
    for name, each in twin.optimizers.items():
        other = faithful.optimizers[name]
        assert each.algorithm == other.algorithm
        assert each.schedule == other.schedule
        assert (twin.decays(name) == ("0",)) == (faithful.decays(name) == ("0",))


@pytest.mark.parametrize("data", ["cifar10", "glyphs"])
def test_the_mixed_ones_are_the_three_in_turn(config, data):
    study = config.studies[f"{data}-layca-mixed"]
    for name, turns in [
        ("sgd-layca-wd", [("sgd", False), ("layca", False), ("sgd", True)]),
        ("wd-layca-sgd", [("sgd", True), ("layca", False), ("sgd", False)]),
    ]:
        found = phases.phases_of(study.optimizers[name])
        assert [(each.algorithm.kind, each.weight_decay) for each in found] == turns
        assert all(float(label) > 0 for label in study.decays(name))


@pytest.mark.parametrize(
    ("study", "shape", "chosen"),
    [
        # One of each family, and of each order of phases.
        ("glyphs-layca", (1, 32, 32), ("sgd-2", "wd-2", "layca-2")),
        ("glyphs-layca-mixed", (1, 32, 32), ("sgd-layca-wd",)),
        pytest.param("cifar10-layca", (3, 32, 32), ("layca-2",), marks=pytest.mark.slow),
    ],
)
def test_the_first_epochs_of_a_study(config, study, shape, chosen, tmp_path):
    """On made images, a few per class; runs of one seed begin alike."""
    plan, of = Plan(config, ROOT / "workflow/scripts"), config.studies[study]
    archives.write_blots(tmp_path, of.data.dataset, shape, per_class=4)
    begun = set()
    for run in [run for run in of.runs() if run.optimizer in chosen]:
        told = plan.stage("train", **runs.identity(study, run))
        recipe = recipes.parse(recipes.Training, told.recipe)
        shorter = [
            dataclasses.replace(each, epochs=each.epochs and 1) for each in recipe.optimizer.phases
        ]
        optimizer = dataclasses.replace(recipe.optimizer, epochs=3, phases=tuple(shorter))
        recipe = dataclasses.replace(recipe, optimizer=optimizer)
        folder = loop.train(job("train", told.identity, recipe, tmp_path, code=told.code)).parent
        history = pd.read_csv(folder / "history.csv")
        assert list(history["epoch"]) == [0, 1, 2, 3]
        assert history["loss"][3] < history["loss"][1]
        begun.add(history["weight_l2"][0])
    assert len(begun) == 1
