"""Algorithms are torch's own, at its defaults, and their state survives an interruption."""

from __future__ import annotations

import dataclasses
import inspect
import math
import shutil

import pytest
import torch

from cobaye import kinds, recipes
from cobaye.storage import files
from cobaye.training import optimizers
from tests import test_training as base

root = base.root
TORCH = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
# Of a recipe, not of its algorithm; and which code of torch's is run.
NOT_OPTIONS = {"lr", "weight_decay", "maximize", "foreach", "capturable", "differentiable", "fused"}


def algorithm(kind, **given):
    options = kinds.options("optimizers", kind)(**given)
    return recipes.Kind(kind, recipes.plain(options))


def built(kind, **given):
    groups = [{"params": [torch.zeros(2, requires_grad=True)], "weight_decay": 0.25}]
    return optimizers.build(algorithm(kind, **given), groups, 0.5)


def test_every_algorithm_is_tested_here():
    assert set(TORCH) <= set(kinds.names("optimizers"))


@pytest.mark.parametrize("kind", sorted(TORCH))
def test_defaults_are_torchs(kind):
    found = built(kind)
    assert type(found) is TORCH[kind]
    assert found.param_groups[0]["lr"] == 0.5
    assert found.param_groups[0]["weight_decay"] == 0.25
    theirs = inspect.signature(TORCH[kind]).parameters
    names = [name for name in found.defaults if name in theirs and name not in NOT_OPTIONS]
    assert names
    for name in names:
        # Momentum is what one takes SGD for here.
        expected = 0.9 if (kind, name) == ("sgd", "momentum") else theirs[name].default
        assert found.defaults[name] == expected, name


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("sgd", {"momentum": 0.5, "nesterov": True}),
        ("adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 0.3}),
        ("adadelta", {"rho": 0.1, "eps": 0.3}),
        ("rmsprop", {"alpha": 0.1, "eps": 0.3, "momentum": 0.2, "centered": True}),
        ("adam", {"beta1": 0.1, "beta2": 0.2, "eps": 0.3, "amsgrad": True}),
        ("adamw", {"beta1": 0.1, "beta2": 0.2, "eps": 0.3, "amsgrad": True}),
    ],
)
def test_every_option_reaches_torch(kind, given):
    assert set(given) == {field.name for field in dataclasses.fields(algorithm_options(kind))}
    found = dict(built(kind, **given).defaults)
    found |= dict(zip(("beta1", "beta2"), found.pop("betas", ()), strict=False))
    assert {name: found[name] for name in given} == given


def algorithm_options(kind):
    return kinds.options("optimizers", kind)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("adagrad", {"eps": -1.0}),
        ("adadelta", {"rho": 1.1}),
        ("adadelta", {"eps": -1.0}),
        ("rmsprop", {"alpha": 1.0}),
        ("rmsprop", {"momentum": 1.0}),
        ("rmsprop", {"eps": -1.0}),
        ("adam", {"beta2": 1.0}),
        ("adamw", {"beta1": -0.1}),
        ("adamw", {"eps": -1.0}),
    ],
)
def test_options_out_of_range_are_refused(kind, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        algorithm_options(kind)(**given)


CASES = [
    ("adagrad", {"lr_decay": 0.01}),
    ("adadelta", {}),
    ("rmsprop", {"momentum": 0.5, "centered": True}),
    ("adam", {"amsgrad": True}),
    ("adamw", {}),
]


def recipe_of(kind, given, engine, **more):
    optimizer = dataclasses.replace(
        base.OPTIMIZER, algorithm=algorithm(kind, **given), learning_rate=0.01, **more
    )
    return dataclasses.replace(base.TRAINING, engine=engine, optimizer=optimizer)


@pytest.mark.parametrize(("kind", "given"), CASES, ids=[kind for kind, _ in CASES])
def test_an_interrupted_run_ends_the_same_in_both_engines(root, kind, given):
    """And the engines, closed form and autograd, train alike."""
    ends = []
    for engine in ("linear", "network"):
        recipe = recipe_of(kind, given, engine)
        folder, _ = base.train(root, recipe)
        expected = base.products(folder)
        ends.append(base.weights(folder, 4))
        shutil.rmtree(folder)
        base.interrupt(root, recipe)
        base.train(root, recipe)
        assert files.read_json(folder / "run.json")["resumed_from"] == [2]
        assert base.products(folder) == expected
        shutil.rmtree(folder)
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-4)


def test_adamw_decouples_weight_decay_and_reports_it_all_the_same(root):
    """Its steps are Adam's without λ, from weights shrunk by 1 − αλ; the penalty is λ/2 ‖θ‖²."""
    one = {"epochs": 1, "batch_size": 90}
    recipe = recipe_of("adamw", {}, "network", **one)
    recipe = dataclasses.replace(recipe, weight_decay=0.5)
    decayed, _ = base.train(root, recipe)
    plain = recipe_of("adam", {}, "network", **one)
    undecayed, _ = base.train(root, dataclasses.replace(plain, weight_decay=0.0), model="adam")
    start, found = base.weights(decayed, 0), base.weights(decayed, 1)
    step = {name: base.weights(undecayed, 1)[name] - start[name] for name in start}
    for name in ("head.weight", "head.bias"):
        expected = start[name] * (1 - 0.01 * 0.5) + step[name]
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-7)
    rows = base.history(decayed)
    norm = math.sqrt(
        sum(start[name].double().square().sum() for name in ("head.weight", "head.bias"))
    )
    # One batch: the penalty of the epoch is that of the initial weights.
    assert rows["penalty"][1] == pytest.approx(0.25 * norm**2, rel=1e-5)
    assert rows["objective"][1] == pytest.approx(rows["loss"][1] + rows["penalty"][1])
