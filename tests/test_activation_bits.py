"""The information of neurons as bits is scikit-learn's, and right where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from cobaye.inside.neurons import bits as b

N = 1000


def bits_of(columns):
    """Return the bits of neurons given as 0 and 1, (N, n)."""
    return b.binarise(torch.as_tensor(np.asarray(columns), dtype=torch.float32))


def all_pairs(neurons):
    return np.triu_indices(neurons, k=1)


@pytest.fixture
def varied():
    """Neurons of every kind: rare, frequent, related, constant."""
    rng = np.random.default_rng(0)
    shares = [0, 0, 0.001, 0.01, 0.1, 0.5, 0.5, 0.9, 0.999]
    columns = (rng.random((N, len(shares))) < shares).astype(np.float32)
    related = np.where(rng.random(N) < 0.8, columns[:, 5], columns[:, 6])
    return np.column_stack([columns, related, columns[:, 4], 1 - columns[:, 4]])


@pytest.mark.parametrize("images", [1, 2, 63, 64, 65, N])
def test_bits_are_what_exceeds_the_neuron_s_own_mean(images):
    activations = torch.randn(images, b.BLOCK + 7, generator=torch.Generator().manual_seed(0))
    found = b.binarise(activations)
    expected = (activations.double() > activations.double().mean(0)).T.numpy()
    unpacked = np.unpackbits(found.words.view(np.uint8), axis=1)
    np.testing.assert_array_equal(unpacked[:, :images], expected)
    assert not unpacked[:, images:].any()
    np.testing.assert_array_equal(found.ones, expected.sum(axis=1))


def test_pairs_equal_scikit_learn_s(varied):
    first, second = all_pairs(varied.shape[1])
    found = b.pair_information(bits_of(varied), first, second)
    expected = [
        normalized_mutual_info_score(varied[:, i], varied[:, j], average_method="arithmetic")
        for i, j in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # Two constants agree, a constant says nothing of what varies, copies and negations all.
    assert found[0] == 1
    assert (found[1:9] == 0).all()
    alike = {4, 10, 11}
    at_one = [{i, j} <= alike for i, j in zip(first, second, strict=True)]
    at_one[0] = True
    np.testing.assert_array_equal(found == 1, at_one)


@pytest.mark.parametrize("classes", [1, 2, 10, 300])
def test_information_with_labels_equals_scikit_learn_s(varied, classes):
    rng = np.random.default_rng(classes)
    labels = 7 * rng.integers(classes, size=N)
    varied[:, 3] = labels < 7 * classes // 3
    neurons = np.array([0, 3, 5, 9, 2])
    found = b.label_information(bits_of(varied), labels, neurons)
    expected = [normalized_mutual_info_score(labels, varied[:, i]) for i in neurons]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_labels_as_bits_hold_all_information_with_two_classes():
    labels = np.random.default_rng(1).integers(2, size=N)
    found = b.label_information(bits_of(labels[:, None] * [[1, -1]]), labels, np.arange(2))
    np.testing.assert_allclose(found, 1, rtol=0, atol=1e-12)


def test_independent_bits_share_what_chance_gives():
    """2 N ln 2 × NMI of fair bits is χ² with one degree of freedom: mean 1, variance 2."""
    rng = np.random.default_rng(2)
    found = bits_of(rng.integers(2, size=(N, 400)))
    first, second = b.draw_pairs(400, 10_000, rng)
    scaled = 2 * N * np.log(2) * b.pair_information(found, first, second)
    assert scaled.mean() == pytest.approx(1, abs=0.1)
    assert scaled.var() == pytest.approx(2, abs=0.5)


def test_a_dead_network_is_pathological_throughout():
    found = bits_of(np.zeros((N, 50)))
    assert found.off.all()
    assert not found.on.any()
    assert (b.pair_information(found, *all_pairs(50)) == 1).all()
    labels = np.arange(N) % 3
    assert (b.label_information(found, labels, np.arange(50)) == 0).all()


def test_a_constant_neuron_is_off_whatever_its_value():
    """In float32 the mean of equal values may be below them."""
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    values *= torch.linspace(-30, 30, 2000).exp()
    assert b.binarise(values.expand(N - 1, -1)).off.all()


def test_between_layers_the_second_neuron_is_of_the_other(varied):
    one, other = bits_of(varied), bits_of(varied[:, ::-1].copy())
    first = np.arange(varied.shape[1])
    assert (b.pair_information(one, first, first[::-1], other) == 1).all()


def test_drawn_pairs_are_distinct_uniform_and_seeded():
    first, second = b.draw_pairs(30, 400, np.random.default_rng(5))
    again = b.draw_pairs(30, 400, np.random.default_rng(5))
    assert len(first) == 400
    np.testing.assert_array_equal(np.stack([first, second]), np.stack(again))
    first, second = b.draw_pairs(200, 19_000, np.random.default_rng(6))
    assert (first != second).all()
    assert min(first.min(), second.min()) == 0
    assert max(first.max(), second.max()) == 199
    assert np.mean(second > first) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("neurons", "expected"), [(1, 0), (2, 1), (10, 45)])
def test_few_pairs_are_taken_once_each(neurons, expected):
    first, second = b.draw_pairs(neurons, 45, np.random.default_rng(0))
    assert len(set(zip(first, second, strict=True))) == len(first) == expected
