"""L1, max-norm and what is penalised are those of autograd in float64, in both engines."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from cobaye import objective, recipes
from cobaye.errors import ConfigError
from cobaye.models import networks
from cobaye.objective.regularization import Regularization, clip_norms
from cobaye.training import engines
from tests import reference
from tests import test_training as base
from tests.test_linear_engine import BATCH, data, make, orders

root = base.root


def regularised(**changes):
    inside = {
        key: changes.pop(key) for key in ("penalize_bias", "penalize_scales") if key in changes
    }
    optimizer = dataclasses.replace(base.OPTIMIZER, **changes)
    return dataclasses.replace(base.TRAINING, optimizer=optimizer, **inside)


@pytest.mark.parametrize("penalize_bias", [True, False])
def test_l1_is_the_sum_of_absolute_values(penalize_bias):
    parameters = {"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.tensor([-4.0])}
    penalty = objective.penalty(parameters, 0.1, l1=0.5, penalize_bias=penalize_bias)
    expected = 0.05 * (21 if penalize_bias else 5) + 0.5 * (7 if penalize_bias else 3)
    assert penalty.item() == pytest.approx(expected)


@pytest.mark.parametrize("penalize_bias", [True, False])
@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam])
def test_closed_form_steps_follow_the_objective_and_the_largest_norm(optimizer, penalize_bias):
    """Against autograd through the stated objective, float64; `max_norm` by hand."""
    inputs, labels = data()
    options = {"l1": 0.05, "penalize_bias": penalize_bias}
    factory = optimizer and (lambda groups: optimizer(groups, lr=1.0))
    momentum = 0.0 if optimizer else 0.9
    engine = make(inputs, labels, max_norm=0.7, momentum=momentum, optimizer=factory, **options)
    theta = [tensor.clone().requires_grad_() for tensor in engine.parameters()]
    own = (optimizer or torch.optim.SGD)(theta, lr=0.1, **({} if optimizer else {"momentum": 0.9}))
    for order in orders(2):
        penalties = []
        for batch in order.split(BATCH):
            own.zero_grad()
            value = reference.value(*theta, inputs[batch], labels[batch], 0.05, **options)
            loss = reference.value(*theta, inputs[batch], labels[batch])
            penalties.append((value - loss).item() * len(batch))
            value.backward()
            own.step()
            with torch.no_grad():
                norms = theta[0].norm(dim=1, keepdim=True)
                theta[0].mul_(torch.where(norms > 0.7, 0.7 / norms, 1.0))
        epoch = engine.epoch(order, 0.1)
        assert epoch.penalty == pytest.approx(sum(penalties) / len(labels), rel=1e-6)
    # torch's renorm divides by the norm plus 1e-7.
    torch.testing.assert_close(engine.weight, theta[0].detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(engine.bias, theta[1].detach(), rtol=0, atol=1e-5)
    assert (engine.weight.norm(dim=1) > 0.69).any()


@pytest.mark.parametrize("penalize_bias", [True, False])
def test_closed_form_and_autograd_are_regularised_alike(root, penalize_bias):
    recipe = regularised(l1=0.01, max_norm=0.8, penalize_bias=penalize_bias)
    closed, _ = base.train(root, recipe)
    autograd, _ = base.train(root, dataclasses.replace(recipe, engine="network"), model="autograd")
    for epoch in (1, 4):
        torch.testing.assert_close(
            base.weights(closed, epoch), base.weights(autograd, epoch), rtol=1e-4, atol=1e-5
        )
    columns = ["loss", "penalty", "accuracy", "weight_l1"]
    np.testing.assert_allclose(base.history(closed)[columns], base.history(autograd)[columns], 1e-3)
    assert base.weights(closed, 4)["head.weight"].norm(dim=1).max() <= 0.8 * (1 + 1e-6)
    free, _ = base.train(root, regularised(l1=0.01), model="free")
    assert base.weights(free, 4)["head.weight"].norm(dim=1).max() > 0.8


def test_an_interrupted_regularised_network_ends_the_same(root):
    model = recipes.Kind("resnet-small", {"stem": 4, "widths": [4], "features": 4})
    recipe = regularised(l1=0.01, max_norm=1.0, penalize_scales=False)
    recipe = dataclasses.replace(recipe, engine="network", model=model)
    folder, _ = base.train(root, recipe)
    expected = base.products(folder)
    last = base.weights(folder, 4)
    kernels = [t for name, t in last.items() if t.ndim > 1 and not name.startswith("normal")]
    assert len(kernels) > 4
    assert all(kernel.flatten(1).norm(dim=1).max() <= 1.0 + 1e-6 for kernel in kernels)
    shutil.rmtree(folder)
    base.interrupt(root, recipe)
    base.train(root, recipe)
    assert base.products(folder) == expected


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_row_is_clipped_to_the_norm_and_a_shorter_one_is_left(layout):
    kernel = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    kernel[0] *= 0.01
    clipped = kernel.clone(memory_format=layout)
    clip_norms(clipped, 0.5)
    norms = kernel.flatten(1).norm(dim=1)
    assert torch.equal(clipped[0], kernel[0])
    for row in range(1, 5):
        assert norms[row] > 0.5
        torch.testing.assert_close(clipped[row], kernel[row] * (0.5 / norms[row]))


class Everything(nn.Module):
    """A kernel, a scale, and biases, with values that tell them apart."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 3, bias=False)
        values = {"conv.weight": 2.0, "conv.bias": 3.0, "norm.weight": 5.0, "norm.bias": 7.0}
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, values.get(name, 11.0))


@pytest.mark.parametrize(
    ("penalize_bias", "penalize_scales", "inside"),
    [
        (True, True, [2, 2, 3, 3, 5, 5, 7, 7, *[11] * 6]),
        (False, True, [2, 2, 5, 5, *[11] * 6]),
        (True, False, [2, 2, 3, 3, 7, 7, *[11] * 6]),
        (False, False, [2, 2, *[11] * 6]),
    ],
)
def test_what_is_penalised(penalize_bias, penalize_scales, inside):
    recipe = regularised(l1=0.5, penalize_bias=penalize_bias, penalize_scales=penalize_scales)
    found = Regularization(recipe, Everything())
    theta = np.array(inside, dtype=float)
    expected = 0.005 * (theta**2).sum() + 0.5 * theta.sum()
    assert found.penalty().item() == pytest.approx(expected)
    decayed, *free = found.groups()
    assert decayed["weight_decay"] == 0.01
    assert sum(p.numel() for p in decayed["params"]) == len(inside)
    assert all(group["weight_decay"] == 0 for group in free)
    assert sum(p.numel() for group in free for p in group["params"]) == 14 - len(inside)
    for parameter in (*found.penalised.values(), *found.free.values()):
        parameter.grad = torch.zeros_like(parameter)
    found.add_gradient()
    assert all((p.grad == 0.5).all() for p in found.penalised.values())
    assert all((p.grad == 0).all() for p in found.free.values())


def test_an_engine_refuses_what_it_does_not_carry_out():
    flip = recipes.Kind("horizontal-flip", {"probability": 0.5})
    with pytest.raises(ConfigError, match="augment: the engine 'linear' does not carry it out"):
        engines.build(regularised(augment=(flip,)), None, None, None, "cpu")


def test_without_biases_vgg16_is_penalised_on_its_kernels_alone():
    """S2.4: Keras's l2 on kernels; its batch norm has nothing to penalise."""
    network = networks.build(recipes.Kind("vgg16", {"width": 0.05}), (1, 32, 32), 3)
    for scales in (True, False):
        recipe = dataclasses.replace(
            base.TRAINING, weight_decay=0.002, penalize_bias=False, penalize_scales=scales
        )
        decay = Regularization(recipe, network)
        kernels = {name: p for name, p in network.named_parameters() if name.endswith("weight")}
        assert len(kernels) == 15
        assert decay.penalised.keys() == kernels.keys()
        squares = sum(p.square().sum() for p in kernels.values())
        torch.testing.assert_close(decay.penalty(), 0.001 * squares)
