"""The objective is its formula, and its derivatives are those of finite differences."""

import math

import pytest
import torch

from cobaye import objective
from cobaye.objective.full_batch import FullBatch

K, D, N = 5, 4, 23
PER_CLASS = torch.linspace(0, 0.5, K, dtype=torch.float64)


@pytest.fixture
def problem():
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(K, D + 1, generator=g, dtype=torch.float64),
        torch.randn(N, D, generator=g, dtype=torch.float64),
        torch.randint(K, (N,), generator=g),
    )


@pytest.fixture(params=[0.0, 0.3, PER_CLASS], ids=["0", "0.3", "per-class"])
def weight_decay(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["bias-in", "bias-out"])
def penalize_bias(request):
    return request.param


def evaluate(theta, inputs, labels, weight_decay=0.0, **options):
    function = FullBatch(
        inputs, labels, len(theta), weight_decay, curvature=torch.float64, **options
    )
    return function.evaluate(theta), function


def assert_same(point, other):
    assert point.value == pytest.approx(other.value, rel=1e-13)
    torch.testing.assert_close(point.gradient, other.gradient)


def test_value_is_the_formula_written_out(problem, weight_decay, penalize_bias):
    theta, inputs, labels = problem
    weight, bias = theta[:, :-1], theta[:, -1]
    total = 0.0
    for x, y in zip(inputs, labels, strict=True):
        z = [float(w @ x + b) for w, b in zip(weight, bias, strict=True)]
        total -= math.log(math.exp(z[y]) / sum(map(math.exp, z)))
    decay = torch.as_tensor(weight_decay, dtype=torch.float64).expand(K)
    squares = weight.square().sum(1) + penalize_bias * bias.square()
    expected = float(decay @ squares) / 2
    point, _ = evaluate(*problem, weight_decay, penalize_bias=penalize_bias)
    assert point.loss == pytest.approx(total / N, rel=1e-13)
    assert point.penalty == pytest.approx(expected, rel=1e-13)
    assert point.value == pytest.approx(total / N + expected, rel=1e-13)
    losses = objective.losses(inputs @ weight.T + bias, labels)
    assert losses.sum().item() == pytest.approx(total, rel=1e-13)
    parameters = {"head.weight": weight, "head.bias": bias}
    penalty = objective.penalty(parameters, weight_decay, penalize_bias=penalize_bias)
    assert penalty.item() == pytest.approx(expected, rel=1e-13)


def test_gradient_against_finite_differences(problem, weight_decay, penalize_bias):
    theta, *data = problem
    step = 1e-5

    def value(theta):
        return evaluate(theta, *data, weight_decay, penalize_bias=penalize_bias)[0].value

    basis = step * torch.eye(theta.numel(), dtype=theta.dtype).view(-1, *theta.shape)
    slopes = [(value(theta + e) - value(theta - e)) / (2 * step) for e in basis]
    expected = torch.tensor(slopes, dtype=theta.dtype).view(theta.shape)
    point, _ = evaluate(*problem, weight_decay, penalize_bias=penalize_bias)
    torch.testing.assert_close(point.gradient, expected, rtol=1e-8, atol=1e-9)


def test_hessian_vector_product_against_finite_differences(problem, weight_decay, penalize_bias):
    theta, *data = problem
    step = 1e-5
    direction = torch.randn(theta.shape, dtype=theta.dtype, generator=torch.Generator())

    def gradient(theta):
        return evaluate(theta, *data, weight_decay, penalize_bias=penalize_bias)[0].gradient

    expected = (gradient(theta + step * direction) - gradient(theta - step * direction)) / step / 2
    _, function = evaluate(*problem, weight_decay, penalize_bias=penalize_bias)
    product = function.curvature_along(direction)
    torch.testing.assert_close(product, expected, rtol=1e-7, atol=1e-8)


def test_one_decay_for_all_equals_the_same_decay_for_each(problem):
    each = torch.full((K,), 0.3, dtype=torch.float64)
    assert_same(evaluate(*problem, each)[0], evaluate(*problem, 0.3)[0])


def test_cross_entropy_does_not_see_a_constant_added_to_all_classes(problem):
    theta, *data = problem
    shifted = theta + torch.tensor([*range(D), -3.0])
    assert_same(evaluate(shifted, *data)[0], evaluate(*problem)[0])


def test_value_does_not_see_order_or_repetition_of_the_images(problem):
    theta, inputs, labels = problem
    order = torch.randperm(N)
    expected, _ = evaluate(*problem, 0.3)
    assert_same(evaluate(theta, inputs[order], labels[order], 0.3)[0], expected)
    assert_same(evaluate(theta, inputs.repeat(2, 1), labels.repeat(2), 0.3)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits_stay_finite(dtype):
    theta = torch.tensor([[1e4, 0.0], [-1e4, 0.0], [0.0, 0.0]], dtype=torch.float64)
    inputs, labels = torch.ones(2, 1, dtype=dtype), torch.tensor([0, 1])
    assert objective.losses(inputs @ theta[:, :1].to(dtype).T, labels).tolist() == [0, 2e4]
    point, function = evaluate(theta, inputs, labels, dtype=dtype)
    assert point.loss == 1e4
    assert point.gradient.isfinite().all()
    assert function.curvature_along(theta).isfinite().all()


def test_penalty_of_named_parameters():
    layer, norm = torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)
    parameters = dict(torch.nn.Sequential(layer, norm).named_parameters())
    squares = {name: p.square().sum().item() for name, p in parameters.items()}
    everything = objective.penalty(parameters, 0.5).item()
    assert everything == pytest.approx(sum(squares.values()) / 4)
    without = objective.penalty(parameters, 0.5, penalize_bias=False).item()
    assert without == pytest.approx((squares["0.weight"] + squares["1.weight"]) / 4)


def test_penalty_is_what_torch_decays(problem):
    """torch's weight_decay is the gradient of this penalty: no factor of two lies between them."""
    weight = problem[0].clone().requires_grad_()
    objective.penalty({"weight": weight}, 0.3).backward()
    torch.testing.assert_close(weight.grad, 0.3 * problem[0])


def test_wrong_number_of_decays_is_named(problem):
    three = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"\(3,\).*\(5, 5\)"):
        objective.penalty({"weight": problem[0]}, three)
    with pytest.raises(ValueError, match=r"\(3,\).*\(5,\)"):
        evaluate(*problem, three)
