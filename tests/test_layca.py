"""Layca turns each layer by its angle and keeps its norm, and is its optimizer when it is off."""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil

import pytest
import torch

from cobaye import kinds, recipes
from cobaye.storage import files
from cobaye.training import optimizers
from cobaye.training.optimizers import layca
from tests import test_training as base

root = base.root
RATE = 0.3
BASES = [{}, {"nesterov": True}, {"momentum": 0.0}, {"base": "adam"}]


def algorithm(**given):
    return recipes.Kind("layca", recipes.plain(kinds.options("optimizers", "layca")(**given)))


def network(dtype=torch.float64):
    torch.manual_seed(3)
    layers = [torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten()]
    made = torch.nn.Sequential(*layers, torch.nn.Linear(16, 5), torch.nn.Linear(5, 3)).to(dtype)
    return made.to(memory_format=torch.channels_last)


def loss(model, step):
    generator = torch.Generator().manual_seed(step)
    dtype = model[0].weight.dtype
    inputs = torch.randn(7, 2, 4, 4, generator=generator, dtype=dtype)
    labels = torch.randint(3, (7,), generator=generator)
    return torch.nn.functional.cross_entropy(model(inputs), labels)


def optimizer_of(model, decay=0.0, **given):
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return optimizers.build(algorithm(**given), groups, RATE)


def trained(optimizer, model, steps, begin=0):
    for step in range(begin, begin + steps):
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def angle(before, after):
    """Return the angle between two tensors, exact for small ones too."""
    a, b = before.flatten() / before.norm(), after.flatten() / after.norm()
    return 2 * math.atan2((a - b).norm().item(), (a + b).norm().item())


@pytest.mark.parametrize("alpha", [0.0, 0.4, -0.7])
@pytest.mark.parametrize("given", BASES, ids=str)
def test_each_step_turns_each_kernel_by_arctan_and_keeps_its_norm(given, alpha):
    model = network()
    optimizer = optimizer_of(model, decay=0.1, alpha=alpha, **given)
    before = [p.detach().clone() for p in model.parameters()]
    first = [p.norm().item() for p in before]
    rates = {0: [1.0] * 3, 0.4: [0.6**5, 0.6**2.5, 1.0], -0.7: [1.0, 0.3**2.5, 0.3**5]}[alpha]
    for step in range(4):
        after = trained(optimizer, model, 1, step)
        expected = iter(rates)
        for old, new, norm in zip(before, after, first, strict=True):
            if new.ndim > 1:
                turn = math.atan(RATE * next(expected))
                assert angle(old, new) == pytest.approx(turn, rel=0, abs=1e-12)
                assert new.norm().item() == pytest.approx(norm, rel=1e-12)
        before = after


@pytest.mark.parametrize("given", BASES, ids=str)
def test_its_steps_are_the_bases_projected_and_scaled(given):
    """Against the formulas, kernel by kernel, from a base that is never corrected."""
    model, plain = network(), network()
    optimizer = optimizer_of(model, decay=0.1, **given)
    base_of = optimizer_of(plain, decay=0.1, enabled=False, **given)
    for step in range(5):
        plain.load_state_dict(copy.deepcopy(model.state_dict()))
        old = [p.detach().clone() for p in plain.parameters()]
        trained(optimizer, model, 1, step)
        trained(base_of, plain, 1, step)
        for w, stepped, found in zip(old, plain.parameters(), model.parameters(), strict=True):
            expected = stepped.detach()
            if w.ndim > 1:
                s = (w - expected).flatten() / RATE
                u = s - (s @ w.flatten()) / w.norm() ** 2 * w.flatten()
                v = w - RATE * (u * w.norm() / u.norm()).view_as(w)
                expected = v * w.norm() / v.norm()
            torch.testing.assert_close(found.detach(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("given", BASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_switched_off_it_is_the_base_to_the_bit(given, dtype):
    options = {key: value for key, value in given.items() if key != "base"}
    kind = given.get("base", "sgd")
    own, theirs = network(dtype), network(dtype)
    found = trained(optimizer_of(own, decay=0.1, enabled=False, **given), own, 5)
    plain = recipes.Kind(kind, recipes.plain(kinds.options("optimizers", kind)(**options)))
    groups = optimizer_of(theirs, decay=0.1).param_groups
    groups = [{key: group[key] for key in ("params", "weight_decay")} for group in groups]
    expected = trained(optimizers.build(plain, groups, RATE), theirs, 5)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_switched_off_its_multipliers_are_rates_of_layers():
    """A step of SGD without momentum is in proportion to the rate."""
    steps = []
    for alpha in (0.0, 0.4):
        model = network()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = optimizer_of(model, enabled=False, momentum=0.0, alpha=alpha)
        after = trained(optimizer, model, 1)
        steps.append([a - b for a, b in zip(after, before, strict=True)])
        assert {group["lr"] for group in optimizer.param_groups} == {RATE}
    rates = iter([0.6**5, 0.6**2.5, 1.0])
    for plain, found in zip(*steps, strict=True):
        rate = next(rates) if plain.ndim > 1 else 1.0
        torch.testing.assert_close(found, rate * plain, rtol=1e-9, atol=1e-14)


def test_multipliers():
    assert layca.multipliers(3, 0.0) == [1.0] * 3
    assert layca.multipliers(1, 0.5) == layca.multipliers(1, -0.5)[::-1]
    assert layca.multipliers(3, 0.5) == pytest.approx([0.5**5, 0.5**2.5, 1.0])
    assert layca.multipliers(3, -0.5) == pytest.approx([1.0, 0.5**2.5, 0.5**5])


@pytest.mark.parametrize("size", [0.0, 0.9e-7])
def test_a_kernel_without_a_step_stays_where_it_is(size):
    """A step along the weights, a tiny one, and none; and a kernel of zeros."""
    start = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    for weight, slope in [(start, size), (start, 1.0), (0 * start, 1.0), (start, None)]:
        kernel = torch.nn.Parameter(weight.clone())
        optimizer = optimizers.build(algorithm(), [{"params": [kernel], "weight_decay": 0.0}], 1.0)
        if slope == size:
            kernel.grad = torch.tensor([[-0.8, 0.6]], dtype=torch.float64) * size
        elif slope is not None:
            kernel.grad = weight.clone() if weight.any() else torch.ones_like(weight)
        optimizer.step()
        torch.testing.assert_close(kernel.detach(), weight, rtol=1e-15, atol=0)


@pytest.mark.parametrize("rate", [1.0, 1e-3])
def test_a_step_just_long_enough_is_taken(rate):
    """Long at a rate of 1, whatever the rate."""
    kernel = torch.nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    optimizer = optimizers.build(algorithm(), [{"params": [kernel], "weight_decay": 0.0}], rate)
    kernel.grad = torch.tensor([[-0.8, 0.6]], dtype=torch.float64) * 1.1e-7
    optimizer.step()
    # Against the gradient by arctan of the rate, on the circle of radius 5.
    turned = torch.tensor([[3.0 + 4 * rate, 4 - 3 * rate]], dtype=torch.float64)
    torch.testing.assert_close(kernel.detach(), turned / (1 + rate**2) ** 0.5)


def test_what_is_not_finite_shows():
    kernel = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = optimizers.build(algorithm(), [{"params": [kernel], "weight_decay": 0.0}], 1.0)
    kernel.grad = torch.full((2, 2), math.nan)
    optimizer.step()
    assert kernel.isnan().all()


def test_a_closure_is_evaluated_at_the_weights():
    models = [network(), network()]
    ends = []
    for model, given in zip(models, (True, False), strict=True):
        optimizer = optimizer_of(model)

        def closure(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(model, 0)
            value.backward()
            return value

        if given:
            assert optimizer.step(closure).item() == pytest.approx(loss(network(), 0).item())
        else:
            closure()
            optimizer.step()
        ends.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"momentum": 1.0}, "momentum"),
        ({"beta2": -0.1}, "beta2"),
        ({"eps": -1.0}, "eps"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": -1.0}, "alpha"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov"),
        ({"nesterov": True, "base": "adam"}, "nesterov"),
    ],
)
def test_limits_of_options(given, said):
    with pytest.raises(ValueError, match=said):
        layca.Options(**given)


CASES = [{"nesterov": True}, {"base": "adam", "alpha": 0.3}, {"enabled": False, "alpha": -0.3}]


@pytest.mark.parametrize("engine", ["linear", "network"])
@pytest.mark.parametrize("given", CASES, ids=str)
def test_an_interrupted_run_ends_the_same(root, given, engine):
    optimizer = dataclasses.replace(base.OPTIMIZER, algorithm=algorithm(**given))
    recipe = dataclasses.replace(base.TRAINING, engine=engine, optimizer=optimizer)
    folder, _ = base.train(root, recipe)
    expected = base.products(folder)
    first, last = base.weights(folder, 0)["head.weight"], base.weights(folder, 4)["head.weight"]
    kept = last.norm().item() == pytest.approx(first.norm().item(), rel=1e-5)
    assert kept == given.get("enabled", True)
    assert not torch.equal(first, last)
    shutil.rmtree(folder)
    base.interrupt(root, recipe)
    base.train(root, recipe)
    assert files.read_json(folder / "run.json")["resumed_from"] == [2]
    assert base.products(folder) == expected


def test_an_interrupted_training_of_convolutions_ends_the_same(root):
    """Kernels lie in memory with their channels last, and what is read back does not."""
    optimizer = dataclasses.replace(base.OPTIMIZER, algorithm=algorithm(nesterov=True))
    model = recipes.Kind("vgg16", {"width": 0.05, "initialization": "glorot", "resize": 32})
    recipe = dataclasses.replace(
        base.TRAINING, engine="network", model=model, optimizer=optimizer, penalize_bias=False
    )
    folder, _ = base.train(root, recipe)
    expected = base.products(folder)
    first, last = base.weights(folder, 0), base.weights(folder, 4)
    kernels = [name for name in first if name.endswith(".weight")]
    assert len(kernels) == 15
    for name in kernels:
        assert last[name].norm().item() == pytest.approx(first[name].norm().item(), rel=1e-5)
        assert not torch.equal(last[name], first[name])
    shutil.rmtree(folder)
    base.interrupt(root, recipe)
    base.train(root, recipe)
    assert files.read_json(folder / "run.json")["resumed_from"] == [2]
    assert base.products(folder) == expected
