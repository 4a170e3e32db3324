"""Inference on simulated losses whose truth is known: levels, sizes, planted effects, invariances.

Simulations count how often an interval misses or a test rejects; a count is held against what the
binomial distribution allows at a probability of about 1 in 10,000 per comparison.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cobaye.statistics import choices, compared, effects, reliability, shrinkage, worst
from cobaye.statistics.sample import Sample, by_class

SIMULATIONS = 500


def within(misses, rate, simulations=SIMULATIONS):
    """Assert that a count of misses is what the rate gives, within binomial error."""
    low, high = stats.binom.ppf([5e-5, 1 - 5e-5], simulations, rate)
    assert low <= misses <= high, f"{misses} of {simulations} at rate {rate}"


def simulated(rng, effect, images=20, spread=0.5, skewed=False):
    """Return losses of K classes at M λ: effect (K, M) and noise that neighbours share in part.

    The first column is the reference; noise is skewed as losses are, if asked for.
    """
    classes, width = effect.shape
    shape = (width, classes * images)
    noise = rng.exponential(1, shape) - 1 if skewed else rng.standard_normal(shape)
    noise = np.cumsum(noise, axis=0) / np.sqrt(np.arange(1, width + 1))[:, None]
    labels = np.repeat(np.arange(classes), images)
    return by_class(1 + effect.T[:, labels] + spread * noise, labels, classes)


def curves(classes, step=0.3):
    """Return a common curve over three λ, lowest in the middle, for every class."""
    return np.tile([step, 0.0, step], (classes, 1))


# Levels and sizes where there is nothing but noise.


def test_class_intervals_cover_at_their_level():
    """40 classes in each of 500 simulations, and accuracies too."""
    rng = np.random.default_rng(0)
    missed = missed_shares = 0
    for _ in range(SIMULATIONS):
        sample = simulated(rng, np.zeros((40, 2))).relative_to(0)
        interval = effects.class_means(sample)
        missed += ((interval.low[:, 1] > 0) | (interval.high[:, 1] < 0)).sum()
        moved = rng.choice([-1.0, 0, 0, 0, 0, 1], size=(2, 800))
        share = effects.class_shares(by_class(moved, np.repeat(np.arange(40), 20), 40))
        missed_shares += ((share.low[:, 1] > 0) | (share.high[:, 1] < 0)).sum()
    within(missed, 0.05, 40 * SIMULATIONS)
    # Discrete: at most its level.
    assert 0.01 <= missed_shares / (40 * SIMULATIONS) <= 0.055


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_the_variance_between_classes_is_covered(truth, skewed):
    rng = np.random.default_rng(1)
    low = high = 0
    estimates = []
    for _ in range(SIMULATIONS):
        effect = np.stack([np.zeros(60), truth * rng.standard_normal(60)], axis=1)
        found = effects.between_classes(
            simulated(rng, effect, skewed=skewed).relative_to(0), 250, rng
        ).variance
        low += found.low[1] > truth**2
        high += found.high[1] < truth**2
        estimates.append(found.estimate[1])
    within(low + high, 0.05)
    error = np.std(estimates) / np.sqrt(SIMULATIONS)
    assert abs(np.mean(estimates) - truth**2) < 4 * error  # unbiased


def test_the_permutation_test_keeps_its_size():
    """Both statistics, at each λ and over all of them, skewed noise."""
    rng = np.random.default_rng(2)
    rejected = np.zeros(4)
    for _ in range(SIMULATIONS):
        sample = simulated(rng, curves(20), images=10, skewed=True).relative_to(1)
        test = effects.permutation_test(sample, 99, rng)
        found = [test.p[0], test.welch_p[2], test.overall, test.welch_overall]
        rejected += np.array(found) <= 0.1
    for count in rejected:
        within(count, 0.1)


def test_welch_keeps_its_size_where_variances_differ():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(12), np.tile([10, 60], 6))
    rejected = {"f": 0, "welch": 0}
    for _ in range(SIMULATIONS):
        # The small classes are the noisy ones: the plain F rejects too often.
        noise = rng.standard_normal((1, len(labels))) * np.where(labels % 2, 0.3, 1.5)
        sample = by_class(np.concatenate([0 * noise, noise]), labels, 12)
        test = effects.permutation_test(sample, 99, rng)
        rejected["f"] += test.p[1] <= 0.1
        rejected["welch"] += test.welch_p[1] <= 0.1
    assert rejected["f"] > 0.3 * SIMULATIONS
    assert rejected["welch"] < 0.16 * SIMULATIONS


def test_halves_agree_by_chance_where_classes_are_alike():
    rng = np.random.default_rng(4)
    kappas, correlations = [], []
    for _ in range(100):
        found = reliability.split_half(simulated(rng, curves(40, 0.02)), 1, 20, rng)
        kappas.append(float(found.kappa.estimate))
        correlations.append(found.correlation.estimate[0])
    for values in (kappas, correlations):
        # Halves of a fixed sample are not independent: a little below 0.
        assert -0.06 < np.mean(values) < 0.02


def test_the_null_histogram_is_that_of_classes_alike():
    """Of 500 simulations, the band holds the observed count as often as it says."""
    rng = np.random.default_rng(5)
    outside, observed, expected = 0, [], []
    for _ in range(SIMULATIONS):
        sample = simulated(rng, curves(40, 0.15), images=12)
        null = choices.null_counts(sample, 1, 120, rng)
        outside += not null.expected.low[1] <= null.observed[1] <= null.expected.high[1]
        observed.append(null.observed)
        expected.append(null.expected.estimate)
        assert null.observed.sum() == 40
        assert null.expected.estimate.sum() == pytest.approx(40)
    assert outside <= stats.binom.ppf(1 - 1e-4, SIMULATIONS, 0.05)  # of counts: at most its level
    np.testing.assert_allclose(np.mean(observed, axis=0), np.mean(expected, axis=0), atol=1.0)


def test_false_discoveries_are_controlled():
    """Half of 60 classes have an effect: Benjamini–Hochberg's share of wrong names, Holm's any."""
    rng = np.random.default_rng(6)
    effect = np.zeros((60, 2))
    effect[:30, 1] = 0.6
    shares, anywrong, power = [], 0, []
    for _ in range(SIMULATIONS):
        p = effects.class_p_values(simulated(rng, effect).relative_to(0))
        fdr, holm = effects.adjusted(p)
        named = fdr[:, 1] <= 0.05
        shares.append(named[30:].sum() / max(named.sum(), 1))
        anywrong += (holm[30:, 1] <= 0.05).any()
        power.append(named[:30].mean())
    assert np.mean(shares) < 0.05
    assert anywrong < stats.binom.ppf(1 - 1e-4, SIMULATIONS, 0.05)
    assert np.mean(power) > 0.5


# Planted effects.


def test_a_planted_effect_is_found():
    """Variance, p, reliability and ranking, all near their truth."""
    rng = np.random.default_rng(7)
    own = rng.standard_normal(300)
    effect = np.outer(own, [0.4, 0.0, -0.4]) + curves(300)
    sample = simulated(rng, effect)
    differences = sample.relative_to(1)
    between = effects.between_classes(differences, 500, rng)
    assert between.variance.low[0] < 0.16 * own.var() < between.variance.high[0]
    assert between.variance.low[0] > 0.08
    test = effects.permutation_test(differences, 199, rng)
    assert test.overall == test.welch_overall == pytest.approx(1 / 200)
    halves = reliability.split_half(sample, 1, 40, rng)
    real, noise = between.variance.estimate[[0, 2]], between.noise[[0, 2]]
    np.testing.assert_allclose(halves.stepped_up.estimate[[0, 2]], real / (real + noise), atol=0.06)
    shrunk = shrinkage.shrink(differences, 1)
    assert stats.spearmanr(shrunk.means[:, 0], own)[0] > 0.85
    assert np.corrcoef(shrunk.means[:, 0], own)[0, 1] > 0.85


def test_shrunk_curves_are_nearer_the_truth_and_cover_it():
    rng = np.random.default_rng(8)
    raw = near = covered = 0
    probability, happened = [], []
    for _ in range(40):
        effect = np.outer(rng.standard_normal(100), [0.2, 0.0, -0.25]) + curves(100, 0.1)
        differences = simulated(rng, effect, images=10, skewed=True).relative_to(1)
        shrunk = shrinkage.shrink(differences, 1)
        truth = effect - effect[:, [1]]
        raw += np.mean((differences.means - truth) ** 2)
        near += np.mean((shrunk.means - truth) ** 2)
        interval = shrunk.interval(0.9)
        covered += np.mean((interval.low <= truth) & (truth <= interval.high), axis=0)[[0, 2]]
        probability.append(shrunk.better()[:, [0, 2]])
        happened.append(truth[:, [0, 2]] < 0)
    assert near < 0.6 * raw
    np.testing.assert_allclose(covered / 40, 0.9, atol=0.04)
    # Of what is given a probability of about 0.8, about 0.8 happens.
    probability, happened = np.concatenate(probability), np.concatenate(happened)
    for low in (0.1, 0.3, 0.7):
        inside = (probability > low) & (probability < low + 0.2)
        assert abs(happened[inside].mean() - probability[inside].mean()) < 0.06


def test_without_an_effect_everything_is_shrunk_to_one_curve():
    rng = np.random.default_rng(9)
    differences = simulated(rng, curves(200)).relative_to(1)
    shrunk = shrinkage.shrink(differences, 1)
    assert np.ptp(shrunk.means, axis=0).max() < 0.4 * np.ptp(differences.means, axis=0).max()
    assert (shrunk.chosen() == 1).mean() > 0.97


def halves(rng, effect, images, skewed=True):
    return (simulated(rng, effect, images, skewed=skewed) for _ in range(2))


@pytest.mark.parametrize("planted", [0.0, 0.25])
def test_gains_are_covered(planted):
    """For the choices made, given them; and for the way of choosing, val drawn anew as well."""
    rng = np.random.default_rng(10)
    effect = np.outer(rng.standard_normal(30), [planted, 0, -planted]) + curves(30, 0.1)
    loss = effect - effect[:, [1]]
    missed = 0
    gains, errors = [], []
    for number in range(SIMULATIONS):
        val, test = halves(rng, effect, 10)
        chosen = choices.chosen_per_class(val.means, 1)
        found = choices.gain(test, 1, chosen)
        truth = -loss[np.arange(30), chosen].mean()
        missed += not found.low <= truth <= found.high
        gains.append(found.estimate)
        if number < 60:
            shrunk = shrinkage.shrink(val.relative_to(1), 1)
            errors.append(choices.procedure_errors(val, test, shrunk, 100, rng)["honest"])
    within(missed, 0.05)
    # The bootstrap's error is that of the gains over simulations (its choices are a bit noisier).
    assert 0.85 < np.mean(errors) / np.std(gains) < 1.35


def test_noise_alone_looks_like_a_gain_and_an_honest_choice_shows_that_it_is_none():
    rng = np.random.default_rng(11)
    naive, honest, shrunk, chance = [], [], [], []
    for _ in range(60):
        val, test = halves(rng, curves(50, 0.1), 15)
        naive.append(choices.gain(test, 1, choices.chosen_per_class(test.means, 1)).estimate)
        honest.append(choices.gain(test, 1, choices.chosen_per_class(val.means, 1)).estimate)
        own = shrinkage.shrink(val.relative_to(1), 1).chosen()
        shrunk.append(choices.gain(test, 1, own).estimate)
        chance.append(float(choices.null_counts(test, 1, 50, rng).gain.estimate))
    assert np.mean(naive) > 0.005
    assert np.mean(honest) < -0.005
    assert np.mean(honest) < np.mean(shrunk) <= 0.001
    assert np.mean(chance) == pytest.approx(np.mean(naive), rel=0.2)


def test_a_gain_that_is_there_is_found():
    rng = np.random.default_rng(12)
    effect = np.outer(np.where(np.arange(60) % 2, 1, -1), [0.5, 0.0, -0.5])
    val, test = halves(rng, effect, 30)
    shrunk = shrinkage.shrink(val.relative_to(1), 1)
    errors = choices.procedure_errors(val, test, shrunk, 200, rng)
    for way, own in {
        "honest": choices.chosen_per_class(val.means, 1),
        "shrunk": shrunk.chosen(),
    }.items():
        found = choices.gain(test, 1, own)
        assert found.low > 0.3
        assert choices.normal(found.estimate, errors[way]).low > 0.3
        assert found.estimate == pytest.approx(0.5, abs=0.1)


def test_seeds_are_samples_of_one_gain():
    found = choices.over_seeds(np.array([0.1, 0.2, 0.3]))
    reach = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))
    assert np.isnan(choices.over_seeds(np.array([0.1])).low)


# References and invariances.


def known(seed=13):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, 90)
    losses = rng.gamma(2, 1, (4, 90)) + rng.random((4, 6))[:, labels]
    return losses, labels


def answers(losses, labels, classes=6):
    """Everything that draws nothing at random, by class where it has one."""
    sample = by_class(losses, labels, classes)
    differences = sample.relative_to(2)
    shrunk = shrinkage.shrink(differences, 2)
    means = effects.class_means(differences)
    by = {
        "means": means.estimate,
        "low": means.low,
        "p": effects.class_p_values(differences),
        "bh": effects.adjusted(effects.class_p_values(differences))[0],
        "shrunk": shrunk.means,
        "better": shrunk.better(),
        "chosen": choices.chosen_per_class(sample.means, 2),
    }
    variance = effects.between_classes(differences, 10, np.random.default_rng(0)).variance
    gain = choices.gain(sample, 2, by["chosen"])
    return by, {"between": variance.estimate, "gain": gain.estimate, "gain_low": gain.low}


def test_class_statistics_are_scipys():
    losses, labels = known()
    differences = losses - losses[2]
    by, _ = answers(losses, labels)
    for one in range(6):
        for row in (0, 1, 3):
            test = stats.ttest_1samp(differences[row, labels == one], 0)
            assert by["p"][one, row] == pytest.approx(test.pvalue)
            assert by["low"][one, row] == pytest.approx(test.confidence_interval().low)
    assert np.isnan(by["p"][:, 2]).all()
    sample = by_class(losses, labels, 6)
    np.testing.assert_allclose(sample.covariances[3], np.cov(losses[:, labels == 3]))


def test_holm_by_hand():
    p = np.array([[0.01], [0.04], [np.nan], [0.03]])
    fdr, holm = effects.adjusted(p)
    np.testing.assert_allclose(holm[:, 0], [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(fdr[:, 0], [0.03, 0.04, np.nan, 0.04])


def test_f_of_the_permutation_test_orders_as_scipys():
    """The p-value of F, near that of scipy's analysis of variance on normal data."""
    rng = np.random.default_rng(14)
    labels = np.repeat(np.arange(5), 30)
    x = rng.standard_normal((2, 150)) + 0.25 * rng.standard_normal(5)[labels]
    test = effects.permutation_test(by_class(x, labels, 5), 4000, rng)
    expected = [stats.f_oneway(*(row[labels == one] for one in range(5))).pvalue for row in x]
    np.testing.assert_allclose(test.p, expected, atol=0.03)


def test_the_order_of_images_does_not_matter():
    losses, labels = known()
    order = np.random.default_rng(15).permutation(len(labels))
    compare(answers(losses, labels), answers(losses[:, order], labels[order]))


def test_the_numbering_of_classes_does_not_matter():
    losses, labels = known()
    renamed = np.array([3, 5, 0, 1, 4, 2])
    (by, over), (by_other, over_other) = answers(losses, labels), answers(losses, renamed[labels])
    compare((by, over), ({k: v[renamed] for k, v in by_other.items()}, over_other))


def test_an_image_that_is_harder_at_every_lambda_changes_nothing():
    losses, labels = known()
    harder = losses + 5 * np.random.default_rng(16).random(len(labels))
    by, over = answers(losses, labels)
    other, over_other = answers(harder, labels)
    # A class's own level is no part of any answer but the lowest, whose ties it cannot make.
    compare((by, over), (other, over_other))


def compare(found, expected):
    for one, other in zip(found, expected, strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_draws_keep_images_whole_and_classes_apart():
    """A draw of a class is a mean of its own images, each with all its losses."""
    sample = Sample(np.array([[1.0, -1], [3, -3], [10, -10], [20, -20]]), np.array([2, 2, 0]))
    means = next(sample.resampled(400, np.random.default_rng(17)))
    np.testing.assert_array_equal(means[:, :2, 0], -means[:, :2, 1])
    assert set(means[:, 0, 0]) == {1, 2, 3}
    assert set(means[:, 1, 0]) == {10, 15, 20}
    assert np.isnan(means[:, 2]).all()
    first, second = next(sample.halved(50, np.random.default_rng(18)))
    np.testing.assert_array_equal(np.sort(np.stack([first, second])[:, 0, 0, 0]), [1, 3])
    np.testing.assert_allclose(first + second, 2 * np.tile(sample.means, (50, 1, 1)))
    sums = next(sample.permuted(50, np.random.default_rng(19), sample.values))
    np.testing.assert_allclose(sums.sum(axis=1), np.tile([34.0, -34.0], (50, 1)))
    assert len(np.unique(sums[:, 0, 0])) > 3


def test_blocks_of_draws_are_as_many_as_asked_for(monkeypatch):
    monkeypatch.setattr("cobaye.statistics.sample.BLOCK", 12)
    monkeypatch.setattr("cobaye.statistics.choices.BLOCK", 12)
    sample = Sample(np.arange(8.0).reshape(4, 2), np.array([2, 2]))
    assert [len(block) for block in sample.resampled(7, np.random.default_rng(0))] == [3, 3, 1]
    shrunk = shrinkage.shrink(sample.relative_to(0), 0)
    errors = choices.procedure_errors(sample, sample, shrunk, 7, np.random.default_rng(0))
    assert set(errors) == {"naive", "honest", "shrunk"}


# Degenerate samples: an answer, or NaN where it says so, and no warning.


def everything(val, test, reference):
    rng = np.random.default_rng(20)
    differences = test.relative_to(reference)
    shrunk = shrinkage.shrink(val.relative_to(reference), reference)
    own = choices.chosen_per_class(val.means, reference)
    return {
        "means": effects.class_means(differences),
        "shares": effects.class_shares(differences),
        "adjusted": effects.adjusted(effects.class_p_values(differences)),
        "between": effects.between_classes(differences, 50, rng),
        "permutation": effects.permutation_test(differences, 20, rng),
        "halves": reliability.split_half(test, reference, 20, rng),
        "null": choices.null_counts(test, reference, 20, rng),
        "gain": choices.gain(test, reference, own),
        "errors": choices.procedure_errors(val, test, shrunk, 20, rng),
        "shrunk": shrunk,
        "own": own,
    }


def test_a_class_without_validation_images():
    losses, labels = known()
    val = by_class(losses[:, labels != 4], labels[labels != 4], 6)
    found = everything(val, by_class(losses, labels, 6), 2)
    assert found["own"][4] == 2
    np.testing.assert_allclose(found["shrunk"].means[4], found["shrunk"].centre)
    assert np.isfinite(found["shrunk"].means).all()
    assert np.isfinite(found["gain"].low)
    assert np.isfinite(list(found["errors"].values())).all()


def test_a_class_without_test_images():
    losses, labels = known()
    test = by_class(losses[:, labels != 4], labels[labels != 4], 6)
    found = everything(by_class(losses, labels, 6), test, 2)
    assert np.isnan(found["means"].estimate[4]).all()
    assert found["between"].classes == found["null"].classes == 5
    assert np.isfinite(found["gain"].low)
    assert np.isfinite(list(found["errors"].values())).all()


def test_one_lambda():
    losses, labels = known()
    sample = by_class(losses[:1], labels, 6)
    found = everything(sample, sample, 0)
    assert found["gain"].estimate == 0
    assert set(found["errors"].values()) == {0.0}
    assert np.isnan(found["permutation"].overall)
    np.testing.assert_array_equal(found["null"].observed, [6])


def test_one_image_per_class():
    losses, _ = known()
    sample = by_class(losses[:, :6], np.arange(6), 6)
    found = everything(sample, sample, 2)
    assert np.isfinite(found["means"].estimate).all()
    assert np.isnan(found["means"].low).all()
    assert np.isnan(found["between"].variance.estimate).all()
    assert found["null"].classes == 0
    assert np.isfinite(found["shrunk"].means).all()
    assert np.isnan(found["gain"].low)


def test_one_class():
    losses, _ = known()
    sample = by_class(losses, np.zeros(90, dtype=int), 1)
    found = everything(sample, sample, 2)
    np.testing.assert_allclose(found["shrunk"].means, found["shrunk"].centre[None])
    assert np.isnan(found["between"].variance.estimate).all()


# Who is worst off.


def test_worst_classes_by_hand():
    right = np.array([[1, 1, 1, 0, 0, 0, 1, 0], [0, 0, 1, 1, 1, 1, 1, 1]])
    sample = by_class(right, np.repeat(np.arange(4), 2), 4)
    mean, members = worst.worst_mean(sample.means, sample, 2)
    np.testing.assert_array_equal(members, [[2, 1], [0, 1]])
    np.testing.assert_allclose(mean.estimate, [0.25, 0.5])
    every, members = worst.worst_mean(sample.means, sample, 100)
    np.testing.assert_allclose(every.estimate, sample.means.mean(axis=0))
    assert members.shape == (2, 4)


def test_the_worst_pair_counts_both_ways():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([0, 1, 1, 0, 0, 1, 0, 0, 2, 2])
    pair = worst.worst_pair(labels, predicted, 3)
    assert (pair.first, pair.second, pair.rate) == (0, 1, pytest.approx(3 / 6))
    assert worst.worst_pair(labels, labels, 3) is None


def test_the_error_of_a_difference_is_that_of_its_mean():
    """Of four images of one class: s/√n, which a plain bootstrap falls short of by √(3/4)."""
    losses = np.array([[1.0, 2.0, 4.0, 7.0], [1.5, 2.0, 3.0, 9.0]])
    labels = np.zeros(4, dtype=int)
    found = compared.compare(
        by_class(losses, labels, 1),
        by_class(0 * losses, labels, 1),
        20_000,
        np.random.default_rng(0),
    )
    expected = np.std(losses[1] - losses[0], ddof=1) / 2
    assert found.errors["loss"][1] == pytest.approx(expected, rel=0.03)
    assert found.differences["loss"].estimate.tolist() == [0, 0.375]
