"""What the weights of layers tell is right where it is known: angles, shares, histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from cobaye import recipes
from cobaye.inside import rotations
from cobaye.models import networks


def kernel(*shape, seed=0):
    """A kernel as Glorot's uniform initialisation draws it."""
    drawn = torch.empty(shape)
    nn.init.xavier_uniform_(drawn, generator=torch.Generator().manual_seed(seed))
    return drawn


def turned(angle, scale=1.0):
    """Two vectors of 100 numbers at an angle, the second `scale` times as long."""
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 2)))
    after = scale * (math.cos(angle) * q[:, 0] + math.sin(angle) * q[:, 1])
    return torch.from_numpy(q[:, 0]).view(10, 10), torch.from_numpy(after).view(10, 10)


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 2.5])
@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_known_angles(angle, scale):
    found = rotations.rotation(*turned(angle, scale), near=0.1)
    assert found["cosine_distance"] == pytest.approx(1 - math.cos(angle), abs=1e-12)
    assert found["norm"] == pytest.approx(scale, rel=1e-12)
    assert found["norm_ratio"] == pytest.approx(1 / scale, rel=1e-12)
    # ŵ₀·(wₙ − w₀)/‖wₙ‖
    assert found["projection"] == pytest.approx(math.cos(angle) - 1 / scale, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_distance_is_one_less_its_two_terms(dtype):
    for seed in range(5):
        before = kernel(32, 16, 3, 3, seed=seed).to(dtype)
        after = (0.3 * seed * before + kernel(32, 16, 3, 3, seed=9)).to(dtype)
        found = rotations.rotation(before, after, near=0.1)
        terms = 1 - found["norm_ratio"] - found["projection"]
        assert found["cosine_distance"] == pytest.approx(terms, abs=1e-12)
        w0, wn = before.double().flatten(), after.double().flatten()
        expected = 1 - nn.functional.cosine_similarity(w0, wn, dim=0).item()
        assert found["cosine_distance"] == pytest.approx(expected, abs=1e-12)


def test_the_share_of_weights_that_change_against_their_sign():
    before = torch.tensor([[1.0, -2.0, 3.0, 0.0, 5.0]])
    for change, share in (
        ([-0.5, 1.0, 2.0, 9.0, 0.0], 2 / 3),  # of three that were not 0 and changed, two
        ([-3.0, -1.0, 1.0, 1.0, 1.0], 1 / 4),  # a weight that changed its sign too
        ([0.0] * 5, math.nan),
        ([math.inf] * 5, math.nan),
    ):
        found = rotations.rotation(before, before + torch.tensor([change]), 0.1)["opposed"]
        assert found == pytest.approx(share, nan_ok=True)
    # By chance: a half. Shrunk by a factor: all.
    before = torch.randn(100, 100, generator=torch.Generator().manual_seed(0))
    other = torch.randn(100, 100, generator=torch.Generator().manual_seed(1))
    chance = rotations.rotation(before, before + other, 0.1)["opposed"]
    assert chance == pytest.approx(0.5, abs=0.02)
    assert rotations.rotation(before, 0.9 * before, 0.1)["opposed"] == 1


def test_an_unchanged_layer_did_not_turn_at_all():
    for seed in range(20):
        before = kernel(31, 7, 3, 3, seed=seed) * 1e-3
        found = rotations.rotation(before, before.clone(), near=0.1)
        assert (found["cosine_distance"], found["norm_ratio"], found["projection"]) == (0, 1, 0)


def test_sums_are_of_float64():
    """In float32, a million numbers lose more than this."""
    before = torch.full((1000, 1000), 0.1)
    after = torch.full((1000, 1000), 0.2)
    found = rotations.rotation(before, after, near=0.1)
    assert found["norm"] == pytest.approx(1000 * float(np.float32(0.2)), rel=1e-13)
    assert abs(found["cosine_distance"]) < 1e-13


def test_near_zero_of_uniform_and_of_shrunk_weights():
    before = kernel(400, 400)
    found = rotations.rotation(before, before / 4, near=0.1)
    # Uniform in ±a, whose root mean square is a/√3.
    assert found["near_zero"] == pytest.approx(0.4 / math.sqrt(3), abs=0.005)
    assert found["near_own_zero"] == pytest.approx(0.1 / math.sqrt(3), abs=0.005)
    halved = before * (torch.arange(400) % 2)
    share = rotations.rotation(before, halved, near=0.1)["near_zero"]
    assert share == pytest.approx(0.5 + 0.05 / math.sqrt(3), abs=0.005)


def test_a_vector_without_direction_has_no_angle():
    zero, some = torch.zeros(3, 4), kernel(3, 4)
    gone = rotations.rotation(some, zero, near=0.1)
    assert [name for name, value in gone.items() if not math.isnan(value)] == [
        "norm",
        "near_zero",
        "opposed",
    ]
    assert (gone["norm"], gone["near_zero"], gone["opposed"]) == (0, 1, 1)
    born = rotations.rotation(zero, some, near=0.1)
    assert math.isnan(born["cosine_distance"])
    assert math.isnan(born["near_zero"])
    assert born["norm_ratio"] == 0
    lost = rotations.rotation(some, some * math.nan, near=0.1)
    assert all(map(math.isnan, lost.values()))


def test_kernels_stand_in_the_order_of_the_network():
    """Not in that of their names, as a checkpoint has them: 10 before 2."""
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()]
    network = nn.Sequential()
    network.body = nn.Sequential(*layers)
    network.head = nn.Linear(4, 2)
    found = rotations.kernels(network)
    names = ["body.0", "body.3", "body.6", "body.9", "body.12", "head"]
    assert [each.name for each in found] == names
    assert [each.layer for each in found] == [1, 2, 3, 4, 5, 6]
    assert [each.kind for each in found] == ["conv"] * 5 + ["dense"]
    assert found[-1].parameter == "head.weight"


@pytest.mark.parametrize("kind", ["convnet", "resnet18"])
def test_kernels_of_real_networks_are_convolutions_and_linear_layers(kind):
    model = recipes.Kind(kind, {"resize": 32} if kind == "convnet" else {})
    with torch.device("meta"):
        network = networks.build(model, (3, 32, 32), 10)
    wanted = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    assert [each.name for each in rotations.kernels(network)] == wanted


def of(table, quantity):
    return table[table["quantity"] == quantity]


def test_histograms_count_every_weight_where_it_lies():
    before, after = kernel(16, 8, 3, 3), kernel(16, 8, 3, 3, seed=1)
    table = rotations.histograms(before, after)
    change = (after.double() - before.double()).flatten().numpy()
    values = {
        "change": change,
        "relative-change": change / np.linalg.norm(after.double().numpy()),
        "weight": after.double().flatten().numpy(),
        "initial": before.double().flatten().numpy(),
    }
    assert list(dict.fromkeys(table["quantity"])) == list(values)
    for quantity, own in values.items():
        rows = of(table, quantity)
        expected, _ = np.histogram(own, [*rows["lower"], rows["upper"].iloc[-1]])
        np.testing.assert_array_equal(rows["count"], expected)
        assert rows["count"].sum() == before.numel()
        np.testing.assert_array_equal(rows["lower"].iloc[1:], rows["upper"].iloc[:-1])


def test_edges_are_those_of_the_shape_and_resolve_both_ends():
    small = rotations.histograms(kernel(8, 4), kernel(8, 4) * 0.01)
    large = rotations.histograms(kernel(8, 4, seed=3), kernel(8, 4, seed=4) * 50)
    for side in ("lower", "upper"):
        np.testing.assert_array_equal(small[side], large[side])
    own = rotations.edges(2.0)
    np.testing.assert_allclose(own, -own[::-1], rtol=1e-12)
    assert own[-1] == pytest.approx(60)
    widths = np.diff(own)
    assert widths.min() == widths[rotations.BINS // 2] < 0.006 * 2
    assert (widths / np.maximum(np.abs(own[1:]), np.abs(own[:-1]))).min() < 0.06
    limit = math.sqrt(6 / 4)
    np.testing.assert_allclose(of(small, "weight")["upper"].iloc[-1], 30 * limit)
    np.testing.assert_allclose(of(small, "relative-change")["upper"].iloc[-1], 30 / math.sqrt(32))


def test_what_lies_beyond_is_in_the_outermost_bins():
    own = np.array([-1.0, 0.0, 1.0, 2.0])
    values = torch.tensor([-9, -1, -0.5, 0, 0.5, 1, 2, 9, math.inf, math.nan], dtype=torch.float64)
    assert rotations.counts(values, own).tolist() == [3, 2, 3]
    gone = rotations.histograms(kernel(4, 4), torch.zeros(4, 4))
    assert of(gone, "relative-change")["count"].sum() == 0
    assert of(gone, "weight")["count"].iloc[rotations.BINS // 2] == 16
