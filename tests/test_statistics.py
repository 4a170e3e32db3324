"""Inference keeps its levels and finds what is planted, on simulated losses of known truth.

Simulations count how often an interval misses or a test rejects; a count is held against what the
binomial distribution allows at a probability of about 1 in 10,000 per comparison.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cobaye.statistics import chance, choices, compared, effects, reliability, shrinkage, worst
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


@pytest.mark.parametrize("unequal", [False, True])
def test_the_common_curve_test_keeps_its_size(unequal):
    """At one λ and over all, skewed noise, classes of one spread and of spreads from 0.3 to 2."""
    rng = np.random.default_rng(2)
    spread = np.geomspace(0.3, 2, 20) if unequal else np.ones(20)
    rejected = np.zeros(2)
    for _ in range(SIMULATIONS):
        sample = simulated(rng, np.zeros((20, 3)), images=20, skewed=True)
        sample = sample.with_values((sample.values - 1) * spread[sample.labels, None])
        test = effects.common_curve_test(sample.relative_to(1), 99, rng)
        rejected += np.array([test.p[0], test.overall]) <= 0.05
    assert (rejected <= stats.binom.ppf(1 - 1e-4, SIMULATIONS, 0.06)).all(), rejected


def test_the_verdict_keeps_its_size_and_finds_what_is_there():
    """p of the variance between classes, all λ together: unequal spreads, one curve or many."""
    rng = np.random.default_rng(3)
    spread = np.geomspace(0.3, 2, 50)
    named = {0.0: 0, 0.3: 0}
    for truth in named:
        for _ in range(SIMULATIONS // 2):
            effect = curves(50) + truth * np.outer(rng.standard_normal(50), [1, 0, -1])
            sample = simulated(rng, 0 * effect, images=20, skewed=True)
            noise = (sample.values - 1) * spread[sample.labels, None]
            sample = sample.with_values(effect[sample.labels] + noise)
            between = effects.between_classes(sample.relative_to(1), 99, rng)
            assert (between.p <= 0.05) == (between.least > 0).any()
            named[truth] += between.p <= 0.05
    assert named[0.0] <= stats.binom.ppf(1 - 1e-4, SIMULATIONS // 2, 0.06), named
    assert named[0.3] > 0.9 * SIMULATIONS // 2


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


@pytest.mark.parametrize("own", [False, True])
def test_the_null_histogram_is_that_of_classes_alike(own):
    """Of 500 simulations, the band holds the observed count as often as it says.

    Classes are alike in curve; or in shape, their amplitudes from 0.1 to 3 times the common one.
    """
    rng = np.random.default_rng(5)
    outside, observed, expected = 0, [], []
    amplitude = np.geomspace(0.1, 3, 40)[:, None] if own else 1.0
    for _ in range(SIMULATIONS):
        sample = simulated(rng, amplitude * curves(40, 0.15), images=12)
        null = chance.null_counts(sample, 1, 120, rng, own_amplitudes=own)
        outside += not null.expected.low[1] <= null.observed[1] <= null.expected.high[1]
        observed.append(null.observed)
        expected.append(null.expected.estimate)
        assert null.observed.sum() == 40
        assert null.expected.estimate.sum() == pytest.approx(40)
    assert outside <= stats.binom.ppf(1 - 1e-4, SIMULATIONS, 0.05)  # of counts: at most its level
    np.testing.assert_allclose(np.mean(observed, axis=0), np.mean(expected, axis=0), atol=1.5)


def test_amplitudes_are_told_from_shapes():
    """Unequal amplitudes exceed the noise of one curve; unequal optima, that of one shape."""
    rng = np.random.default_rng(55)
    place = np.linspace(-1, 1, 7)
    away = {}
    for name, shift in (("amplitude", 0.0), ("shape", 0.5)):
        amplitude = rng.gamma(1, 1, 150)[:, None]
        effect = amplitude * (place - shift * rng.standard_normal((150, 1))) ** 2
        sample = simulated(rng, effect, images=40, spread=0.6)
        reference = int(reliability.lowest(sample.means.mean(axis=0)))
        nulls = [
            chance.null_counts(sample, reference, 400, rng, own_amplitudes=own)
            for own in (False, True)
        ]
        observed = nulls[0].observed[reference]
        away[name] = [observed < null.expected.low[reference] for null in nulls]
    assert away == {"amplitude": [True, False], "shape": [True, True]}


def test_amplitudes_are_those_planted():
    rng = np.random.default_rng(56)
    truth = rng.gamma(4, 0.25, 300)
    sample = simulated(rng, truth[:, None] * np.array([0.5, 0.0, 1.0]), images=20)
    found = chance.amplitudes(sample.relative_to(1))
    assert found.mean() == pytest.approx(1, abs=0.01)
    # In units of the common curve; spread as the truth is, though each is seen with noise.
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert found.std() == pytest.approx((truth / truth.mean()).std(), rel=0.12)


def test_false_discoveries_are_controlled():
    """A third of 60 classes have effects: Benjamini–Hochberg's share of wrong names, Holm's any.

    The effects cancel: the others differ from 0 no more than from the mean class.
    """
    rng = np.random.default_rng(6)
    effect = np.zeros((60, 2))
    effect[:10, 1], effect[10:20, 1] = 0.6, -0.6
    shares, anywrong, power = [], 0, []
    for _ in range(SIMULATIONS):
        p = effects.class_p_values(simulated(rng, effect - effect.mean(axis=0)).relative_to(0))
        fdr, holm = effects.adjusted(p)
        named = fdr[:, 1] <= 0.05
        shares.append(named[20:].sum() / max(named.sum(), 1))
        anywrong += (holm[20:, 1] <= 0.05).any()
        power.append(named[:20].mean())
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
    assert between.p == pytest.approx(1 / 501)
    test = effects.common_curve_test(differences, 199, rng)
    assert test.overall == test.p[0] == pytest.approx(1 / 200)
    halves = reliability.split_half(sample, 1, 40, rng)
    real, noise = between.variance.estimate[[0, 2]], between.noise[[0, 2]]
    np.testing.assert_allclose(halves.stepped_up.estimate[[0, 2]], real / (real + noise), atol=0.06)
    shrunk = shrinkage.curves(differences, 1)
    assert stats.spearmanr(shrunk[:, 0], own)[0] > 0.85
    assert np.corrcoef(shrunk[:, 0], own)[0, 1] > 0.85


def test_shrunk_curves_are_nearer_the_truth_and_cover_it():
    rng = np.random.default_rng(8)
    raw = near = covered = 0
    probability, happened = [], []
    for _ in range(40):
        effect = np.outer(rng.standard_normal(100), [0.2, 0.0, -0.25]) + curves(100, 0.1)
        differences = simulated(rng, effect, images=10, skewed=True).relative_to(1)
        shrunk = shrinkage.shrink(differences, 1, 50, rng)
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
    shrunk = shrinkage.shrink(differences, 1, 20, rng)
    assert np.ptp(shrunk.means, axis=0).max() < 0.4 * np.ptp(differences.means, axis=0).max()
    assert (shrunk.chosen() == 1).mean() > 0.97


@pytest.mark.parametrize(("classes", "least"), [(10, 0.9), (200, 0.94)])
def test_shrunk_curves_cover_a_truth_without_any_effect(classes, least):
    """The error of μ counts: without it, 58 % of the intervals of ten classes held the truth."""
    rng = np.random.default_rng(57)
    covered = []
    for _ in range(100):
        differences = simulated(rng, np.zeros((classes, 5)), images=50).relative_to(2)
        interval = shrinkage.shrink(differences, 2, 50, rng).interval()
        inside = (interval.low <= 0) & (interval.high >= 0)
        covered.append(np.delete(inside, 2, axis=1).mean())
    assert np.mean(covered) > least


@pytest.mark.parametrize("skewed", [False, True])
def test_a_study_without_an_effect_names_nobody(skewed):
    """In at most 5 % of studies of ten classes is anyone surely helped, harmed, or elsewhere."""
    rng = np.random.default_rng(58)
    named = 0
    for _ in range(200):
        differences = simulated(rng, np.zeros((10, 5)), images=50, skewed=skewed).relative_to(2)
        shrunk = shrinkage.shrink(differences, 2, 50, rng)
        named += any(sure.any() for sure in shrunk.sure(np.array([0])))
    assert named <= stats.binom.ppf(1 - 1e-4, 200, 0.05)


def test_who_is_surely_helped_is_told_by_direction():
    rng = np.random.default_rng(59)
    effect = np.outer(np.repeat([1.0, 0.0, -1.0], 20), [1.0, 0.0, 0.0])
    shrunk = shrinkage.shrink(simulated(rng, effect, images=40).relative_to(1), 1, 50, rng)
    lower, higher = (sure[:, 0] for sure in shrunk.sure(np.array([0])))
    np.testing.assert_array_equal(np.flatnonzero(higher), np.arange(20))
    np.testing.assert_array_equal(np.flatnonzero(lower), np.arange(40, 60))


def test_curves_spread_as_true_vary_as_much_as_the_truth():
    """Observed curves vary more, shrunk ones less; classes of two sizes."""
    rng = np.random.default_rng(60)
    own = rng.standard_normal(600)
    labels = np.repeat(np.arange(600), np.where(np.arange(600) % 2, 10, 40))
    effect = np.outer(own, [0.3, 0.0, -0.2])
    noise = rng.standard_normal((3, len(labels)))
    differences = by_class(effect.T[:, labels] + noise, labels, 600).relative_to(1)
    truth = np.cov(effect[:, [0, 2]].T)
    found = np.cov(shrinkage.spread_as_true(differences, 1)[:, [0, 2]].T)
    seen = np.cov(differences.means[:, [0, 2]].T)
    shrunk = np.cov(shrinkage.curves(differences, 1)[:, [0, 2]].T)
    np.testing.assert_allclose(found, truth, atol=0.02)
    assert np.trace(shrunk) < 0.9 * np.trace(truth) < 0.8 * np.trace(seen)


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
            drawn = choices.procedure_errors(val, test, 1, 100, rng)
            errors.append(drawn["val and test"]["honest"])
    within(missed, 0.05)
    # The bootstrap's error is that of the gains over simulations (its choices are a bit noisier).
    assert 0.85 < np.mean(errors) / np.std(gains) < 1.35


def test_noise_alone_looks_like_a_gain_and_an_honest_choice_shows_that_it_is_none():
    rng = np.random.default_rng(11)
    naive, honest, shrunk, expected = [], [], [], []
    for _ in range(60):
        val, test = halves(rng, curves(50, 0.1), 15)
        naive.append(choices.gain(test, 1, choices.chosen_per_class(test.means, 1)).estimate)
        honest.append(choices.gain(test, 1, choices.chosen_per_class(val.means, 1)).estimate)
        own = reliability.lowest(shrinkage.curves(val.relative_to(1), 1))
        shrunk.append(choices.gain(test, 1, own).estimate)
        null = chance.null_counts(test, 1, 50, rng, own_amplitudes=False)
        expected.append(float(null.gain.estimate))
    assert np.mean(naive) > 0.005
    assert np.mean(honest) < -0.005
    assert np.mean(honest) < np.mean(shrunk) <= 0.001
    assert np.mean(expected) == pytest.approx(np.mean(naive), rel=0.2)


def test_a_gain_that_is_there_is_found():
    rng = np.random.default_rng(12)
    effect = np.outer(np.where(np.arange(60) % 2, 1, -1), [0.5, 0.0, -0.5])
    val, test = halves(rng, effect, 30)
    shrunk = shrinkage.curves(val.relative_to(1), 1)
    errors = choices.procedure_errors(val, test, 1, 200, rng)
    for way, own in {
        "honest": choices.chosen_per_class(val.means, 1),
        "shrunk": reliability.lowest(shrunk),
    }.items():
        found = choices.gain(test, 1, own)
        assert found.low > 0.3
        assert choices.normal(found.estimate, errors["val and test"][way]).low > 0.3
        assert choices.students(found.estimate, errors["classes"][way], 60).low > 0.3
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
    means = effects.class_means(differences)
    by = {
        "means": means.estimate,
        "low": means.low,
        "p": effects.class_p_values(differences),
        "bh": effects.adjusted(effects.class_p_values(differences))[0],
        "shrunk": shrinkage.curves(differences, 2),
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
            assert by["low"][one, row] == pytest.approx(test.confidence_interval().low)
    assert np.isnan(by["p"][:, 2]).all()
    sample = by_class(losses, labels, 6)
    np.testing.assert_allclose(sample.covariances[3], np.cov(losses[:, labels == 3]))


def test_p_of_a_class_is_that_of_a_contrast():
    """Without skewness and with classes of one spread: Student's t of y_c less the mean class."""
    rng = np.random.default_rng(61)
    half = np.abs(rng.standard_normal((20, 1)))
    pairs = np.tile(np.concatenate([half, -half]), (6, 1))  # symmetric, alike in every class
    effect = np.array([0.4, 0.1, 0.0, -0.1, -0.2, -0.2])
    values = np.concatenate([0 * pairs, pairs], axis=1)
    values[:, 1] += np.repeat(effect, 40)
    found = effects.class_p_values(Sample(values, np.full(6, 40)))
    weights = np.eye(6) - 1 / 6
    error = np.sqrt((weights**2).sum(axis=1) * pairs[:40].var(ddof=1) / 40)
    expected = 2 * stats.t.sf(np.abs(weights @ effect) / error, 39)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-9)
    assert np.isnan(found[:, 0]).all()


@pytest.mark.parametrize("unequal", [False, True])
def test_nobody_is_named_for_a_long_tail(unequal):
    """100 classes of one curve, lognormal losses: Student's t alone names one in most studies."""
    rng = np.random.default_rng(62)
    spread = np.geomspace(0.3, 3, 100) if unequal else np.ones(100)
    named = plain = 0
    for _ in range(100):
        noise = rng.lognormal(0, 1, (5000, 1)) * np.repeat(spread, 50)[:, None]
        sample = Sample(
            np.hstack([0 * noise, noise - np.exp(0.5) * np.repeat(spread, 50)[:, None]]),
            np.full(100, 50),
        )
        named += (effects.adjusted(effects.class_p_values(sample))[0][:, 1] <= 0.05).any()
        t = sample.means[:, 1] / np.sqrt(sample.variances[:, 1] / 50)
        student = 2 * stats.t.sf(np.abs(t), 49)
        plain += (effects.adjusted(student[:, None])[0] <= 0.05).any()
    assert plain > 50
    assert named <= stats.binom.ppf(1 - 1e-4, 100, 0.07)


def test_holm_by_hand():
    p = np.array([[0.01], [0.04], [np.nan], [0.03]])
    fdr, holm = effects.adjusted(p)
    np.testing.assert_allclose(holm[:, 0], [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(fdr[:, 0], [0.03, 0.04, np.nan, 0.04])


def test_p_of_the_common_curve_is_near_that_of_f():
    """On normal data of one spread, where scipy's analysis of variance is exact."""
    rng = np.random.default_rng(14)
    labels = np.repeat(np.arange(5), 30)
    x = rng.standard_normal((2, 150)) + 0.25 * rng.standard_normal(5)[labels]
    test = effects.common_curve_test(by_class(x, labels, 5), 4000, rng)
    expected = [stats.f_oneway(*(row[labels == one] for one in range(5))).pvalue for row in x]
    np.testing.assert_allclose(test.p, expected, atol=0.04)


def test_with_weights_the_fit_is_that_of_repeated_classes():
    """And of equal classes it is the plain formula, by numpy alone."""
    losses, labels = known()
    differences = by_class(losses, labels, 6).relative_to(2)
    moments = shrinkage.moments_of(differences, 2)
    weights = np.array([2, 0, 1, 1, 3, 1])
    places = np.repeat(np.arange(6), weights)
    repeated = shrinkage.Moments(
        moments.means[places], moments.covariances[places], moments.counts[places]
    )
    found = shrinkage.fit(moments, weights[None].astype(float))
    expected = shrinkage.fit(repeated, np.ones((1, 8)))
    np.testing.assert_allclose(found.centre, expected.centre)
    np.testing.assert_allclose(found.between, expected.between)
    images = [np.delete(losses - losses[2], 2, axis=0)[:, labels == one] for one in places]
    means = np.array([each.mean(axis=1) for each in images])
    noise = np.mean([np.cov(each) / each.shape[1] for each in images], axis=0)
    values, vectors = np.linalg.eigh(np.cov(means.T) - noise)
    between = vectors @ np.diag(np.maximum(values, 0)) @ vectors.T
    np.testing.assert_allclose(found.between[0], between, atol=1e-12)
    image = noise / np.mean([1 / each.shape[1] for each in images])
    count = (labels == 0).sum()
    rule = between @ np.linalg.inv(between + image / count)
    curve = means.mean(axis=0) + rule @ (moments.means[0] - means.mean(axis=0))
    np.testing.assert_allclose(
        found.curves(moments.means, moments.sizes[1])[0, 0], curve, atol=1e-6
    )


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


def test_moved_images_have_the_new_means_and_a_wider_spread():
    losses, labels = known()
    sample = by_class(losses, labels, 6)
    centres = np.arange(24.0).reshape(6, 4)
    moved = sample.centred_on(centres)
    np.testing.assert_allclose(moved.means, centres, atol=1e-12)
    n = sample.counts[:, None]
    np.testing.assert_allclose(moved.variances, sample.variances * n / (n - 1))


def test_samples_are_joined_and_selected_by_class():
    losses, labels = known()
    first, second = (
        by_class(losses[:, part], labels[part], 6) for part in (np.s_[:40], np.s_[40:])
    )
    whole = by_class(losses, labels, 6)
    joined = first.joined(second)
    np.testing.assert_array_equal(joined.counts, whole.counts)
    np.testing.assert_allclose(joined.means, whole.means)
    some = np.array([True, False, True, False, False, True])
    np.testing.assert_allclose(whole.selected(some).means, whole.means[some])


def test_blocks_of_draws_are_as_many_as_asked_for(monkeypatch):
    monkeypatch.setattr("cobaye.statistics.sample.BLOCK", 12)
    monkeypatch.setattr("cobaye.statistics.choices.BLOCK", 12)
    sample = Sample(np.arange(8.0).reshape(4, 2), np.array([2, 2]))
    assert [len(block) for block in sample.resampled(7, np.random.default_rng(0))] == [3, 3, 1]
    errors = choices.procedure_errors(sample, sample, 0, 7, np.random.default_rng(0))
    assert set(errors) == {"val and test", "classes"}
    assert all(set(each) == {"naive", "honest", "shrunk"} for each in errors.values())


# Degenerate samples: an answer, or NaN where it says so, and no warning.


def everything(val, test, reference):
    rng = np.random.default_rng(20)
    differences = test.relative_to(reference)
    shrunk = shrinkage.shrink(val.relative_to(reference), reference, 20, rng)
    own = choices.chosen_per_class(val.means, reference)
    return {
        "means": effects.class_means(differences),
        "shares": effects.class_shares(differences),
        "adjusted": effects.adjusted(effects.class_p_values(differences)),
        "between": effects.between_classes(differences, 50, rng),
        "common": effects.common_curve_test(differences, 20, rng),
        "halves": reliability.split_half(test, reference, 20, rng),
        "null": chance.null_counts(test, reference, 20, rng, own_amplitudes=True),
        "gain": choices.gain(test, reference, own),
        "errors": choices.procedure_errors(val, test, reference, 20, rng)["classes"],
        "shrunk": shrunk,
        "own": own,
    }


def test_a_class_without_validation_images():
    losses, labels = known()
    val = by_class(losses[:, labels != 4], labels[labels != 4], 6)
    found = everything(val, by_class(losses, labels, 6), 2)
    assert found["own"][4] == 2
    others = np.delete(np.arange(6), 4)
    centre = val.relative_to(2).means[others].mean(axis=0)
    np.testing.assert_allclose(found["shrunk"].means[4], centre)
    assert (np.delete(found["shrunk"].deviations[4], 2) > 0).all()
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
    assert np.isnan(list(found["errors"].values())).all()
    assert np.isnan(found["common"].overall)
    assert np.isnan(found["between"].p)
    assert not found["shrunk"].sure(np.array([0]))[0].any()
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
    np.testing.assert_allclose(found["shrunk"].means, sample.relative_to(2).means)
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
