"""Each phase of a training has its own rates, rules, λ and optimizer, resumed ones too."""

from __future__ import annotations

import dataclasses
import shutil

import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import fit_normalization
from cobaye.models import starts
from cobaye.storage import files
from cobaye.training import engines, loop, phases, stopping
from tests import test_training as base
from tests.conftest import READ
from tests.jobs import job

root = base.root
PLATEAU = recipes.Kind("plateau", recipes.plain(kinds.options("schedules", "plateau")()))


def algorithm(kind, **given):
    return recipes.Kind(kind, recipes.plain(kinds.options("optimizers", kind)(**given)))


SGD, LAYCA = algorithm("sgd"), algorithm("layca", nesterov=True)
PHASES = (
    recipes.Phase(SGD, 0.05, epochs=2),
    recipes.Phase(LAYCA, 0.01, epochs=3),
    recipes.Phase(SGD, 0.02, weight_decay=True),
)
MIXED = dataclasses.replace(base.OPTIMIZER, algorithm=SGD, phases=PHASES, epochs=8)
RECIPE = dataclasses.replace(base.TRAINING, engine="network", optimizer=MIXED, weight_decay=0.1)


def test_an_epoch_has_one_phase():
    assert [phases.number(MIXED, epoch) for epoch in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert phases.begins(MIXED) == [0, 2, 5]
    assert phases.begins(base.OPTIMIZER) == [0]
    assert phases.number(base.OPTIMIZER, 4) == 0
    (alone,) = phases.phases_of(base.OPTIMIZER)
    assert alone == recipes.Phase(base.OPTIMIZER.algorithm, 0.05, None, weight_decay=True)


def test_schedules_begin_anew():
    # Halved every two epochs of a phase.
    rates = [phases.learning_rate(MIXED, epoch) for epoch in range(1, 9)]
    assert rates == [0.05, 0.05, 0.01, 0.01, 0.005, 0.02, 0.02, 0.01]
    cosine = recipes.Kind("cosine", {"final": 0.0, "warmup": 0})
    optimizer = dataclasses.replace(MIXED, schedule=cosine)
    alone = [dataclasses.replace(base.OPTIMIZER, schedule=cosine, epochs=n) for n in (2, 3, 3)]
    expected = [
        rate / 0.05 * phases.learning_rate(own, epoch)
        for own, rate, epochs in zip(alone, (0.05, 0.01, 0.02), (2, 3, 3), strict=True)
        for epoch in range(1, epochs + 1)
    ]
    found = [phases.learning_rate(optimizer, epoch) for epoch in range(1, 9)]
    assert found == pytest.approx(expected)
    # A plateau before the phase is none in it.
    optimizer = dataclasses.replace(MIXED, schedule=PLATEAU)
    rows = [{"val_accuracy": 0.5}] * 7
    rates = [phases.learning_rate(optimizer, epoch, rows[: epoch - 1]) for epoch in range(1, 9)]
    assert rates == pytest.approx([0.05, 0.05, 0.01, 0.01, 0.01, 0.02, 0.02, 0.02])


def row(**given):
    return {"loss": 1.0, "penalty": 0.0, "weight_l2": 1.0, "accuracy": 0.5, **given}


def test_stopping_rules_are_about_the_last_phase():
    early = recipes.EarlyStop(2, "loss")
    optimizer = dataclasses.replace(MIXED, stop=recipes.Stop(early, 0.9))
    bored = [row()] * 8
    assert [stopping.reason(optimizer, bored[:n]) for n in range(1, 8)] == [None] * 7
    assert stopping.reason(optimizer, bored) == "early: loss has not fallen for 2 epochs"
    for number in range(1, 9):
        rows = [row(loss=1 / epoch) for epoch in range(1, number)] + [row(loss=0, accuracy=0.95)]
        said = None if number <= 5 else "training accuracy 0.9 reached"
        assert stopping.reason(optimizer, rows) == said
    nan = [row(), row(loss=float("nan"))]
    assert stopping.reason(optimizer, nan) == "diverged in epoch 2"


def continued(root, folder, phase, after):
    """Train one epoch of a phase alone, from a checkpoint and with an optimizer that is new."""
    optimizer = dataclasses.replace(
        MIXED, phases=(), algorithm=phase.algorithm, learning_rate=phase.learning_rate
    )
    decay = RECIPE.weight_decay if phase.weight_decay else 0.0
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, weight_decay=decay)
    split = splits.load(recipe.data, "train", root, 0.5)
    network, _ = starts.network(recipe, split, job("train", {}, recipe, root))
    fitted = fit_normalization(split, optimizer)
    engine = engines.build(recipe, network, split, fitted, "cpu")
    own = base.weights(folder, after)
    engine.restore({name: own[name] for name in engine.tensors()}, {})
    order = loop.batch_order(recipe.seed, after + 1, len(split.labels))
    return engine.epoch(order, phase.learning_rate), engine.tensors()


def test_each_phase_is_its_optimizer_without_memory_from_where_the_last_one_ended(root):
    folder, manifest = base.train(root, RECIPE)
    rows = base.history(folder)
    for phase, after in zip(PHASES, (0, 2, 5), strict=True):
        means, expected = continued(root, folder, phase, after)
        found = base.weights(folder, after + 1)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert_allclose(rows["loss"][after + 1], means.loss, rtol=READ)
    assert (rows["penalty"][1:6] == 0).all()
    assert (rows["penalty"][6:] > 0).all()
    assert manifest["info"]["penalty"] == pytest.approx(0.05 * rows["weight_l2"].iloc[-1] ** 2)


def test_layca_keeps_the_norm_in_its_phase_alone(root):
    folder, _ = base.train(root, RECIPE)
    norms = [base.weights(folder, epoch)["head.weight"].norm().item() for epoch in range(9)]
    assert norms[2:6] == pytest.approx([norms[2]] * 4, rel=1e-6)
    assert all(abs(norms[n + 1] / norms[n] - 1) > 1e-4 for n in (0, 1, 5, 6, 7))


@pytest.mark.parametrize("killed", [1, 2, 3, 5, 6, 7])
def test_an_interrupted_run_ends_the_same(root, killed):
    """In the middle of a phase, and between two."""
    folder, _ = base.train(root, RECIPE)
    expected = base.products(folder)
    shutil.rmtree(folder)
    base.interrupt(root, RECIPE, killed)
    base.train(root, RECIPE)
    assert files.read_json(folder / "run.json")["resumed_from"] == [killed]
    assert base.products(folder) == expected


def test_a_run_that_has_ended_knows_its_penalty_when_it_is_published_again(root):
    folder, manifest = base.train(root, RECIPE)
    (folder / "train.json").unlink()
    _, again = base.train(root, RECIPE)
    assert again == manifest


def test_a_recipe_without_phases_is_told_as_it_always_was():
    """Its fingerprint stays."""
    assert "phases" not in recipes.plain(base.TRAINING)["optimizer"]
    told = recipes.plain(RECIPE)
    assert [phase["epochs"] for phase in told["optimizer"]["phases"]] == [2, 3, None]
    for recipe in (base.TRAINING, RECIPE):
        assert recipes.parse(recipes.Training, recipes.plain(recipe)) == recipe


def test_the_closed_form_has_no_phases(root):
    recipe = dataclasses.replace(RECIPE, engine="linear")
    with pytest.raises(engines.ConfigError, match="phases: the engine 'linear' does not carry it"):
        base.train(root, recipe)


def test_the_history_shows_the_rates(root):
    folder, _ = base.train(root, RECIPE)
    rates = pd.read_csv(folder / "history.csv")["learning_rate"].tolist()
    assert rates == pytest.approx([0, 0.05, 0.05, 0.01, 0.01, 0.005, 0.02, 0.02, 0.01])
