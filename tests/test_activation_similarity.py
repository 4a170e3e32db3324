"""SVCCA calls layers alike that are the same or turned, and no others beyond chance."""

from __future__ import annotations

import pytest
import torch

from cobaye.inside.neurons import similarity

N = 200


def layer(neurons, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, neurons, generator=generator, dtype=dtype)


def bases(*activations, **options):
    return [similarity.directions(each, **options) for each in activations]


@pytest.mark.parametrize("neurons", [10, 500])
def test_a_layer_and_any_turn_or_scale_of_it_are_alike(neurons):
    own = layer(neurons)
    generator = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(neurons, neurons, generator=generator).double())[0]
    same, turned = bases(own, 5 * own @ turn + 2, most=50)
    assert similarity.svcca(same, same) == pytest.approx(1, abs=1e-12)
    assert similarity.svcca(same, turned) == pytest.approx(1, abs=1e-9)


def test_independent_layers_are_as_alike_as_chance_makes_them():
    one, other = bases(layer(20), layer(30, seed=1))
    by_chance = [similarity.by_chance(one, other, seed) for seed in range(30)]
    mean = sum(by_chance) / len(by_chance)
    spread = (sum((each - mean) ** 2 for each in by_chance) / len(by_chance)) ** 0.5
    assert abs(similarity.svcca(one, other) - mean) < 4 * spread
    assert 0 < mean < 0.5
    assert similarity.by_chance(one, other, 3) == by_chance[3]


def test_many_directions_are_alike_by_construction():
    """Bases of 98 % of the variance share many of 200 dimensions; a limit keeps chance low."""
    one, other = bases(layer(300), layer(300, seed=1), share=0.98)
    assert one.shape[1] + other.shape[1] > 1.3 * N
    assert similarity.by_chance(one, other, 0) > 0.8
    few = bases(layer(300), layer(300, seed=1), most=20)
    assert similarity.by_chance(*few, 0) < 0.35


@pytest.mark.parametrize("neurons", [50, 5000])
def test_directions_are_those_of_the_singular_values(neurons):
    scales = torch.linspace(0, -4, neurons, dtype=torch.float64).exp()
    activations = layer(neurons) * scales + 1
    found = similarity.directions(activations)
    u, s, _ = torch.linalg.svd(activations - activations.mean(0), full_matrices=False)
    held = (s**2).cumsum(0) / (s**2).sum()
    kept = int((held < 0.99).sum()) + 1
    assert found.shape == (N, kept)
    torch.testing.assert_close(found @ found.T, u[:, :kept] @ u[:, :kept].T, rtol=0, atol=1e-8)


def test_single_precision_is_near():
    one, other = layer(500), layer(30, seed=1) + layer(500)[:, :30]
    double = similarity.svcca(*bases(one, other, most=20))
    single = similarity.svcca(*bases(one.float(), other.float(), most=20))
    assert single == pytest.approx(double, abs=1e-4)


@pytest.mark.parametrize("neurons", [10, 500])
def test_a_layer_without_variance_has_no_directions(neurons):
    dead, live = bases(torch.full((N, neurons), 0.5), layer(5))
    assert dead.shape == (N, 0)
    assert torch.tensor(similarity.svcca(dead, live)).isnan()
    assert torch.tensor(similarity.by_chance(live, dead, 0)).isnan()


def test_constants_of_any_size_have_no_direction():
    for value in (0.1, 0.3, 1e-3, 7.7):
        constant = torch.full((100, 200), value)
        assert similarity.directions(constant).shape == (100, 0)
