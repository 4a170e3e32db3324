"""The temperature of a classifier is the minimum that scipy finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize, special

from cobaye.models import temperature
from cobaye.models.temperature import HIGHEST, LOWEST, fit_temperature


def drawn(scale, images=600, classes=7, seed=0):
    """Logits whose softmax at T = 1 gives the labels' probabilities, times `scale`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(images, classes))
    gumbel = rng.gumbel(size=logits.shape)
    return torch.tensor(scale * logits), torch.tensor((logits + gumbel).argmax(axis=1))


def mean_loss(logits, labels, t):
    scaled = logits.double().numpy() / t
    own = scaled[np.arange(len(labels)), labels.numpy()]
    return (special.logsumexp(scaled, axis=1) - own).mean()


@pytest.mark.parametrize("scale", [0.02, 0.5, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("block", [1024, 100])
def test_it_is_the_minimum_that_scipy_finds(scale, block, monkeypatch):
    monkeypatch.setattr(temperature, "_BLOCK", block)
    logits, labels = drawn(scale)
    found = fit_temperature(logits, labels)
    reference = optimize.minimize_scalar(
        lambda log_t: mean_loss(logits, labels, np.exp(log_t)),
        bounds=(-7, 7),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(math.exp(reference.x), rel=1e-6)
    assert mean_loss(logits, labels, found) <= reference.fun + 1e-12


def test_scaled_logits_scale_it_and_a_constant_per_image_does_not_matter():
    logits, labels = drawn(1.0)
    once = fit_temperature(logits, labels)
    assert once == pytest.approx(1, abs=0.15)  # 600 images drawn at T = 1
    assert fit_temperature(8 * logits, labels) == pytest.approx(8 * once, rel=1e-9)
    shifted = logits + torch.arange(len(logits))[:, None]
    assert fit_temperature(shifted, labels) == pytest.approx(once, rel=1e-9)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    assert fit_temperature(logits[order], labels[order]) == pytest.approx(once, rel=1e-9)


def test_two_classes_have_the_answer_of_their_odds():
    """Three of four images right at logits (1, 0): exp(1/T) = 3."""
    logits = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    found = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
    assert found == pytest.approx(1 / math.log(3), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_it_stays_within_its_bounds(scale):
    logits, labels = scale * torch.eye(5), torch.arange(5)
    assert fit_temperature(logits, labels) == LOWEST
    assert fit_temperature(logits, (labels + 1) % 5) == HIGHEST
    wrong_in_part = torch.tensor([0, 1, 2, 3, 0])
    assert LOWEST < fit_temperature(logits, wrong_in_part) < HIGHEST


def test_logits_of_a_diverged_model_give_no_temperature():
    logits, labels = drawn(1.0, images=20)
    for value in (math.nan, math.inf, -math.inf):
        spoilt = logits.clone()
        spoilt[3, 2] = value
        assert math.isnan(fit_temperature(spoilt, labels))
    assert math.isnan(fit_temperature(logits[:0], labels[:0]))
    assert math.isfinite(fit_temperature(logits * 1e30, labels))


def test_equal_logits_have_temperature_one():
    assert fit_temperature(torch.full((3, 4), 2.5), torch.tensor([0, 1, 3])) == 1.0
