"""Calibration errors are those of a plain loop, and their intervals hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cobaye.statistics import calibration


def drawn(images=400, seeds=1, columns=1, excess=0.1, rng=None):
    """Return confidences, and which are right: with a probability that is smaller by `excess`."""
    rng = rng or np.random.default_rng(0)
    confidence = 1 - rng.random((seeds, columns, images)) ** 2 * 0.7
    right = rng.random(confidence.shape) < confidence - excess
    return confidence.astype(np.float32), right


def by_loop(confidence, right):
    """ECE as its formula says, bin by bin."""
    error = 0.0
    for m in range(1, 16):
        inside = [(m - 1) / 15 < c <= m / 15 for c in confidence]
        if any(inside):
            error += abs(right[inside].mean() - confidence[inside].mean()) * np.mean(inside)
    return error


def expected(confidence, right, draws=100):
    return calibration.expected_error(confidence, right, draws, np.random.default_rng(0))


def test_it_is_what_a_loop_over_bins_gives():
    confidence, right = drawn(seeds=2, columns=3)
    found = expected(confidence, right).error.estimate
    for column in range(3):
        seeds = [by_loop(confidence[s, column].astype(float), right[s, column]) for s in (0, 1)]
        assert found[column] == pytest.approx(np.mean(seeds), rel=1e-5)


@pytest.mark.parametrize(
    ("confidence", "right", "answer"),
    [
        ([0.9] * 4, [1, 1, 1, 0], 0.15),
        ([1.0] * 3, [1, 1, 1], 0.0),
        ([1.0] * 3, [0, 0, 0], 1.0),
        # Two bins whose gaps would cancel if they were one.
        ([0.9, 0.9, 0.1, 0.1], [0, 1, 0, 1], 0.4),
    ],
)
def test_known_answers(confidence, right, answer):
    found = expected(np.array([[confidence]]), np.array([[right]])).error
    assert found.estimate[0] == pytest.approx(answer)
    assert 0 <= found.low[0] <= found.high[0]


def test_bins_hold_their_upper_edge():
    edges = np.arange(1, 16) / 15
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(calibration.bins(edges.astype(dtype)), np.arange(15))
        above = np.nextafter(edges[:-1].astype(dtype), dtype(1))
        np.testing.assert_array_equal(calibration.bins(above), np.arange(1, 15))
    assert calibration.bins(np.array(0.0)) == 0


def test_the_order_of_images_and_the_size_of_blocks_do_not_matter(monkeypatch):
    confidence, right = drawn()
    order = np.random.default_rng(1).permutation(confidence.shape[2])
    once, again = (
        expected(confidence[..., rows], right[..., rows]).error for rows in (slice(None), order)
    )
    assert again.estimate == pytest.approx(once.estimate)
    monkeypatch.setattr(calibration, "_BLOCK", 3 * confidence.shape[2])
    assert expected(confidence, right).error.low == pytest.approx(once.low)


@pytest.mark.parametrize("excess", [0.0, 0.02, 0.1])
def test_intervals_hold_the_true_error(excess):
    """Of classifiers whose confidence is too high by so much: nearly at their level of 0.95."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        found = calibration.expected_error(*drawn(500, excess=excess, rng=rng), 100, rng).error
        missed += not found.low[0] <= excess <= found.high[0]
    assert missed <= stats.binom.ppf(1 - 1e-4, 200, 0.08)


def test_chance_is_the_error_of_a_calibrated_classifier():
    rng = np.random.default_rng(4)
    confidence, _ = drawn(300)
    stated = expected(confidence, rng.random(confidence.shape) < confidence, 4000).chance[0]
    simulated = [by_loop(confidence[0, 0], rng.random(300) < confidence[0, 0]) for _ in range(200)]
    error = np.std(simulated) / np.sqrt(len(simulated))
    assert stated == pytest.approx(np.mean(simulated), abs=4 * error)


def test_groups_of_one_seed_have_the_gap_of_a_mean_and_students_interval():
    confidence, right = (each[:, 0] for each in drawn(60))
    groups = np.arange(60)[None] % 4
    groups[groups == 3] = 5
    found = calibration.by_group(confidence, right, groups, 7)
    np.testing.assert_array_equal(found.images, [15, 15, 15, 0, 0, 15, 0])
    for group in (0, 1, 2, 5):
        mine = groups[0] == group
        gaps = confidence[0, mine].astype(float) - right[0, mine]
        low, high = stats.t.interval(0.95, 14, gaps.mean(), stats.sem(gaps))
        assert found.gap.estimate[group] == pytest.approx(gaps.mean())
        assert (found.gap.low[group], found.gap.high[group]) == pytest.approx((low, high))
        assert found.error[group] == pytest.approx(by_loop(confidence[0, mine], right[0, mine]))
    assert np.isnan(found.gap.estimate[[3, 4, 6]]).all()
    assert np.isnan(found.error[[3, 4, 6]]).all()


def test_seeds_that_agree_add_no_certainty():
    """An image that three seeds treat alike counts once."""
    confidence, right = (each[:, 0] for each in drawn(40))
    groups = np.arange(40)[None] % 2
    once = calibration.by_group(confidence, right, groups, 2)
    thrice = calibration.by_group(
        *(np.repeat(each, 3, axis=0) for each in (confidence, right, groups)), 2
    )
    np.testing.assert_allclose(thrice.gap.low, once.gap.low)
    np.testing.assert_array_equal(thrice.images, once.images)
    np.testing.assert_allclose(thrice.error, once.error)


def test_a_group_of_one_image_has_a_gap_and_no_interval():
    found = calibration.by_group(np.array([[0.8]]), np.array([[False]]), np.array([[0]]), 1)
    assert found.gap.estimate[0] == pytest.approx(0.8)
    assert np.isnan(found.gap.low[0])
