"""The objective against finite differences, autograd, scikit-learn's convention and invariances."""

import math

import pytest
import torch

from cobaye import objective

K, D, N = 5, 4, 23
PER_CLASS = torch.linspace(0, 0.5, K, dtype=torch.float64)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def problem():
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(K, D, generator=g, dtype=torch.float64),
        torch.randn(K, generator=g, dtype=torch.float64),
        torch.randn(N, D, generator=g, dtype=torch.float64),
        torch.randint(K, (N,), generator=g),
    )


@pytest.fixture(params=[0.0, 0.3, PER_CLASS], ids=["0", "0.3", "per-class"])
def weight_decay(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["bias-in", "bias-out"])
def penalize_bias(request):
    return request.param


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def unflat(theta):
    return theta[: K * D].view(K, D), theta[K * D :]


def test_value_is_the_formula_written_out(problem, weight_decay, penalize_bias):
    weight, bias, inputs, labels = problem
    total = 0.0
    for x, y in zip(inputs, labels, strict=True):
        z = [float(w @ x + b) for w, b in zip(weight, bias, strict=True)]
        total -= math.log(math.exp(z[y]) / sum(map(math.exp, z)))
    decay = torch.as_tensor(weight_decay, dtype=torch.float64).expand(K)
    squares = weight.square().sum(1) + penalize_bias * bias.square()
    expected = total / N + float(decay @ squares) / 2
    found = objective.value(*problem, weight_decay, penalize_bias=penalize_bias)
    assert found.item() == pytest.approx(expected, rel=1e-13)


def test_gradient_against_finite_differences(problem, weight_decay, penalize_bias):
    weight, bias, *data = problem
    theta, step = flat((weight, bias)), 1e-5

    def value(t):
        return objective.value(*unflat(t), *data, weight_decay, penalize_bias=penalize_bias)

    basis = step * torch.eye(len(theta), dtype=theta.dtype)
    slopes = torch.stack([value(theta + e) - value(theta - e) for e in basis]) / (2 * step)
    found = objective.gradient(*problem, weight_decay, penalize_bias=penalize_bias)
    torch.testing.assert_close(flat(found), slopes, rtol=1e-8, atol=1e-9)


def test_hessian_vector_product_against_finite_differences(problem, weight_decay, penalize_bias):
    weight, bias, inputs, labels = problem
    theta, step = flat((weight, bias)), 1e-5
    direction = torch.randn(len(theta), dtype=theta.dtype, generator=torch.Generator())

    def gradient(t):
        return flat(
            objective.gradient(
                *unflat(t), inputs, labels, weight_decay, penalize_bias=penalize_bias
            )
        )

    expected = (gradient(theta + step * direction) - gradient(theta - step * direction)) / step / 2
    found = objective.hessian_vector_product(
        *problem, unflat(direction), weight_decay, penalize_bias=penalize_bias
    )
    torch.testing.assert_close(flat(found), expected, rtol=1e-7, atol=1e-8)


def test_derivatives_against_autograd(problem, weight_decay, penalize_bias):
    weight, bias, *data = problem
    theta = flat((weight, bias)).requires_grad_()
    direction = torch.linspace(-1, 1, len(theta), dtype=theta.dtype)
    value = objective.value(*unflat(theta), *data, weight_decay, penalize_bias=penalize_bias)
    (slope,) = torch.autograd.grad(value, theta, create_graph=True)
    (curvature,) = torch.autograd.grad(slope @ direction, theta)

    found = objective.gradient(*problem, weight_decay, penalize_bias=penalize_bias)
    torch.testing.assert_close(flat(found), slope.detach())
    found = objective.hessian_vector_product(
        *problem, unflat(direction), weight_decay, penalize_bias=penalize_bias
    )
    torch.testing.assert_close(flat(found), curvature)


def test_one_decay_for_all_equals_the_same_decay_for_each(problem):
    each = torch.full((K,), 0.3, dtype=torch.float64)
    torch.testing.assert_close(objective.value(*problem, each), objective.value(*problem, 0.3))
    for a, b in zip(
        objective.gradient(*problem, each), objective.gradient(*problem, 0.3), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_cross_entropy_does_not_see_a_constant_added_to_all_classes(problem):
    weight, bias, inputs, labels = problem
    shifted = (weight + torch.arange(D), bias - 3.0, inputs, labels)
    torch.testing.assert_close(objective.value(*shifted), objective.value(*problem))
    for a, b in zip(objective.gradient(*shifted), objective.gradient(*problem), strict=True):
        torch.testing.assert_close(a, b)


def test_value_does_not_see_order_or_repetition_of_the_images(problem):
    weight, bias, inputs, labels = problem
    order = torch.randperm(N)
    permuted = objective.value(weight, bias, inputs[order], labels[order], 0.3)
    doubled = objective.value(weight, bias, inputs.repeat(2, 1), labels.repeat(2), 0.3)
    expected = objective.value(*problem, 0.3)
    torch.testing.assert_close(permuted, expected)
    torch.testing.assert_close(doubled, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits_stay_finite(dtype):
    weight = torch.tensor([[1e4], [-1e4], [0.0]], dtype=dtype)
    bias, inputs = torch.zeros(3, dtype=dtype), torch.ones(2, 1, dtype=dtype)
    labels = torch.tensor([0, 1])
    losses = objective.cross_entropy(weight, bias, inputs, labels)
    assert losses.tolist() == [0, 2e4]
    gradient = objective.gradient(weight, bias, inputs, labels)
    curvature = objective.hessian_vector_product(weight, bias, inputs, labels, (weight, bias))
    for tensor in (*gradient, *curvature):
        assert tensor.isfinite().all()
        assert tensor.dtype == dtype


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
    with pytest.raises(ValueError, match=r"\(3,\).*\(5, 4\)"):
        objective.value(*problem, torch.ones(3, dtype=torch.float64))
