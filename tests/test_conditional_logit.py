"""Refitted logits reach the minimum of other solvers and find parameters that were planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize

from cobaye.analyses import _refitted
from cobaye.models.temperature import fit_temperature
from cobaye.objective.conditional_logit import ConditionalLogit, fit

K, M = 5, 3


def drawn(images, weights, bias, seed=0):
    """Return scores (N, M, K), and labels drawn from softmax(Σ w s + b)."""
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(images, len(weights), K, generator=generator, dtype=torch.float64)
    logits = torch.einsum("m,nmk->nk", torch.tensor(weights).double(), scores) + bias
    return scores, torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]


def in_blocks(scores, labels, size=64):
    return lambda: zip(scores.split(size), labels.split(size), strict=True)


def objective(theta, scores, labels, centre, deviations):
    """Return J, written another way."""
    logits = torch.einsum("m,nmk->nk", theta[: scores.shape[1]], scores)
    if len(theta) > scores.shape[1]:
        logits = logits + theta[scores.shape[1] :]
    prior = torch.distributions.Normal(centre, deviations)
    mode = prior.log_prob(centre).sum()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return loss + (mode - prior.log_prob(theta).sum()) / len(labels)


@pytest.mark.parametrize("biased", [False, True])
def test_derivatives_are_those_of_autograd(biased):
    scores, labels = drawn(150, [0.5, 1.0, -0.3], 0.0)
    size = M + K * biased
    centre, deviations = torch.linspace(-1, 1, size).double(), torch.linspace(0.5, 2, size).double()
    theta = torch.linspace(0.2, -0.4, size).double()
    function = ConditionalLogit(in_blocks(scores, labels), centre, deviations)
    point = function.evaluate(theta)

    def known(x):
        return objective(x, scores, labels, centre, deviations)

    assert point.value == pytest.approx(known(theta).item(), rel=1e-12)
    gradient = torch.autograd.functional.jacobian(known, theta)
    torch.testing.assert_close(point.gradient, gradient, rtol=1e-9, atol=1e-12)
    hessian = torch.autograd.functional.hessian(known, theta)
    direction = torch.linspace(1, 3, size).double()
    torch.testing.assert_close(
        function.curvature_along(direction), hessian @ direction, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("biased", [False, True])
def test_the_minimum_is_that_of_another_solver(biased):
    scores, labels = drawn(300, [0.5, 1.0, -0.3], 0.0)
    size = M + K * biased
    centre, deviations = torch.zeros(size).double(), torch.full((size,), 0.7).double()
    found = fit(in_blocks(scores, labels), centre, deviations)
    other = optimize.minimize(
        lambda x: objective(torch.tensor(x), scores, labels, centre, deviations).item(),
        np.zeros(size),
        method="BFGS",
        options={"gtol": 1e-6},
    )
    np.testing.assert_allclose(found, other.x, atol=1e-4)
    # Neither the size of blocks nor a shift of all logits of an image matters.
    shifted = scores + torch.arange(300)[:, None, None]
    again = fit(in_blocks(shifted, labels, 300), centre, deviations)
    torch.testing.assert_close(again, found, rtol=1e-5, atol=1e-6)


def test_planted_weights_and_biases_are_found():
    bias = torch.tensor([0.6, -0.4, 0.3, 0.0, -0.5]).double()
    scores, labels = drawn(6000, [0.4], bias)
    found = _refitted.bias(scores[:, 0], labels)
    assert found.weight == pytest.approx(0.4, abs=0.03)
    assert found.deviation > 0.1
    torch.testing.assert_close(found.bias - found.bias.mean(), bias, rtol=0, atol=0.12)
    scores, labels = drawn(6000, [0.5, 1.0, -0.3], 0.0)
    mixed = _refitted.mix(lambda: iter(scores.split(500)), labels, [0, 1, 0], kept=10**9)
    np.testing.assert_allclose(mixed, [0.5, 1.0, -0.3], atol=0.06)
    again = _refitted.mix(lambda: iter(scores.split(500)), labels, [0, 1, 0], kept=0)
    torch.testing.assert_close(again, mixed, rtol=0, atol=0)


def test_without_a_bias_in_truth_the_prior_keeps_it_small():
    few, labels = drawn(60, [0.5], 0.0, seed=3)
    found = _refitted.bias(few[:, 0], labels)
    assert found.bias.abs().max() < 0.3
    tight = fit(
        in_blocks(few, labels),
        torch.cat((torch.ones(1), torch.zeros(K))),
        torch.cat((torch.tensor([1e3]), torch.full((K,), 1e-4))),
    )
    assert tight[0].item() == pytest.approx(1 / fit_temperature(few[:, 0], labels), rel=1e-3)
    assert tight[1:].abs().max() < 1e-4


def test_images_that_are_all_right_do_not_send_the_weights_to_infinity():
    """The prior decides where the images do not."""
    labels = torch.arange(40) % K
    scores = torch.nn.functional.one_hot(labels, K).double()[:, None].repeat(1, 2, 1)
    found = _refitted.mix(lambda: iter([scores]), labels, [1, 0], kept=0)
    assert torch.isfinite(found).all()
    assert found.abs().max() < 5 * _refitted.WEIGHT_DEVIATION
