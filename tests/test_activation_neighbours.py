"""Silhouettes of weighted inputs are those of scikit-learn, of a plain loop, of known clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples

from cobaye.inside.neurons import neighbours as nb

METRICS = ("euclidean", "cosine")
N, D = 120, 9


def plain_distance(x, y, weights, metric):
    """The definition, for two vectors."""
    if metric == "euclidean":
        return math.sqrt(sum((abs(w) * (a - b)) ** 2 for w, a, b in zip(weights, x, y)))  # noqa: B905
    product, one, two = (
        sum(abs(w) * a * b for w, a, b in zip(weights, p, q))  # noqa: B905
        for p, q in ((x, y), (x, x), (y, y))
    )
    return 1 - product / math.sqrt(one * two) if one and two else 1.0


def matrix(inputs, weights, metric):
    points, w = inputs.tolist(), weights.tolist()
    return np.array(
        [[plain_distance(x, y, w, metric) * (x is not y) for y in points] for x in points]
    )


@pytest.fixture(scope="module")
def data():
    """Inputs, weights, and who is active: what the weights make of the inputs, shifted."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(N, D, generator=generator, dtype=torch.float64).clamp(min=0)
    inputs[3] = inputs[4] = 0
    inputs[5] = inputs[6]
    weights = torch.randn(D, generator=generator, dtype=torch.float64)
    return inputs, weights, inputs @ weights > 0.2


@pytest.mark.parametrize("metric", METRICS)
def test_whole_sample_equals_scikit_learn_s(data, metric):
    inputs, weights, active = data
    around = nb.neighbourhoods(inputs, weights, active, metric, 1.0)
    each = [
        nb.silhouettes(
            nb.Neighbourhoods(around.distances[i : i + 1], around.active[i : i + 1], 1),
            1.0,
            torch.tensor([N]),
        ).item()
        for i in range(around.population)
    ]
    of_all = matrix(inputs, weights, metric)
    expected = silhouette_samples(of_all, active.numpy(), metric="precomputed")[active.numpy()]
    np.testing.assert_allclose(np.sort(each), np.sort(expected), rtol=0, atol=1e-6)
    mean = nb.silhouettes(around, 1.0, torch.tensor([N])).item()
    assert mean == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", [[2, 3, 6, 24, 60, N]])
def test_neighbourhoods_equal_a_plain_loop_s(data, metric, sizes):
    inputs, weights, active = data
    of_all, on = matrix(inputs, weights, metric), active.numpy()
    centrality = {i: of_all[i, on].sum() for i in np.flatnonzero(on)}
    centres = sorted(centrality, key=centrality.get)[: nb.share(0.3, on.sum())]
    around = nb.neighbourhoods(inputs, weights, active, metric, 0.3)
    found = nb.silhouettes(around, 0.3, torch.tensor(sizes))
    for size, value in zip(sizes, found.tolist(), strict=True):
        each, shares = [], []
        for i in centres:
            near = [j for j in np.argsort(of_all[i], kind="stable") if j != i][: size - 1]
            ours = [of_all[i, j] for j in near if on[j]]
            theirs = [of_all[i, j] for j in near if not on[j]]
            shares.append(len(ours) / len(near))
            if ours and theirs:
                a, b = np.mean(ours), np.mean(theirs)
                each.append((b - a) / max(a, b))
        assert value == pytest.approx(np.mean(each) if each else np.nan, abs=1e-9, nan_ok=True)
        assert nb.active_around(around, 0.3, size) == pytest.approx(np.mean(shares), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_single_precision_is_near(data, metric):
    inputs, weights, active = data
    sizes = torch.tensor([24, N])
    double = nb.silhouettes(nb.neighbourhoods(*data, metric, 0.5), 0.5, sizes)
    single = nb.neighbourhoods(inputs.float(), weights.float(), active, metric, 0.5)
    torch.testing.assert_close(nb.silhouettes(single, 0.5, sizes), double, rtol=0, atol=1e-4)


def two_clusters(gap):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(N, D, generator=generator)
    active = torch.arange(N) < N // 3
    centre = torch.where(active[:, None], 1.0, -1.0) * (torch.arange(D) % 2 * 2 - 1)
    return inputs + gap * centre, torch.ones(D), active


@pytest.mark.parametrize("metric", METRICS)
def test_two_far_clusters(metric):
    around = nb.neighbourhoods(*two_clusters(1000.0), metric, 0.1)
    assert nb.silhouettes(around, 0.1, torch.tensor([N])).item() > 0.99
    # Nearby there are active points alone: nothing to compare.
    assert nb.silhouettes(around, 0.1, torch.tensor([N // 4])).isnan().all()
    assert nb.active_around(around, 0.1, N // 4) == 1


def test_no_clusters_no_silhouette():
    around = nb.neighbourhoods(*two_clusters(0.0), "euclidean", 1.0)
    assert abs(nb.silhouettes(around, 1.0, torch.tensor([N])).item()) < 0.05


def test_weights_multiply_differences_and_products():
    """Of weights (2, 0): the second number never counts; distances double, angles stay."""
    inputs = torch.tensor([[0.0, 7], [1, -3], [4, 5], [-2, 2]], dtype=torch.float64)
    weights, active = torch.tensor([-2.0, 0], dtype=torch.float64), torch.tensor([1, 1, 0, 0]) > 0
    euclidean = nb.neighbourhoods(inputs, weights, active, "euclidean", 1.0)
    torch.testing.assert_close(
        euclidean.distances, torch.tensor([[0, 2, 4, 8], [0, 2, 6, 6]], dtype=torch.float64)
    )
    cosine = nb.neighbourhoods(inputs, weights, active, "cosine", 1.0)
    assert cosine.distances.tolist() == [[0, 1, 1, 1], [0, 0, 1, 2]]


def test_the_most_central_come_first():
    inputs = torch.tensor([[0.0], [10], [11], [13], [50]], dtype=torch.float64)
    active = torch.tensor([1, 1, 1, 1, 0]) > 0
    around = nb.neighbourhoods(inputs, torch.ones(1).double(), active, "euclidean", 0.5)
    assert around.distances[:, 1].tolist() == pytest.approx([1, 1])
    assert around.distances[:, -1].tolist() == pytest.approx([40, 39])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [False, True])
def test_neurons_always_or_never_active_are_left_out(metric, value):
    active = torch.full((N,), value)
    assert nb.neighbourhoods(torch.zeros(N, D), torch.zeros(D), active, metric, 0.1) is None


@pytest.mark.parametrize("metric", METRICS)
def test_points_that_coincide_have_silhouette_zero(metric):
    """As of a neuron without weights that its bias switches: no warning, no NaN."""
    active = torch.arange(N) >= N - 50
    around = nb.neighbourhoods(torch.ones(N, D), torch.zeros(D), active, metric, 0.1)
    assert nb.silhouettes(around, 0.1, torch.tensor([N])).item() == 0
    assert nb.active_around(around, 0.1, N) == pytest.approx(49 / (N - 1))


def test_more_centres_than_there_are_is_refused(data):
    around = nb.neighbourhoods(*data, "cosine", 0.1)
    with pytest.raises(ValueError, match="centres"):
        nb.silhouettes(around, 0.2, torch.tensor([5]))
