"""Variances over backbones, seeds and classes are recovered where they were planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cobaye.analyses import _sweeps, _units, backbones
from cobaye.errors import DataError
from cobaye.statistics import effects, random_effects, transfer
from cobaye.statistics.sample import by_class

SD = {
    "class": 0.5,
    "class × backbone": 0.3,
    "class × seed": 0.2,
    "backbone": 0.4,
    "seed": 0.25,
    "image": 1.2,
    "image × backbone": 0.9,
    "image × seed": 0.6,
}


def simulated(rng, classes=40, images=6, units=(5, 2), sd=SD):
    """Return differences (U, 1, N) by the model of `random_effects`, and labels (N,)."""
    b, s = units
    labels = np.repeat(np.arange(classes), images)
    n = len(labels)
    drawn = {
        "class": rng.standard_normal((1, 1, classes))[:, :, labels],
        "class × backbone": rng.standard_normal((b, 1, classes))[:, :, labels],
        "class × seed": rng.standard_normal((b, s, classes))[:, :, labels],
        "backbone": rng.standard_normal((b, 1, 1)),
        "seed": rng.standard_normal((b, s, 1)),
        "image": rng.standard_normal((1, 1, n)),
        "image × backbone": rng.standard_normal((b, 1, n)),
        "image × seed": rng.standard_normal((b, s, n)),
    }
    values = sum(sd[name] * each for name, each in drawn.items()) + np.zeros((b, s, n))
    return values.reshape(b * s, 1, n), labels


def estimated(differences, labels, count):
    moments = random_effects.moments(differences, labels, int(labels.max()) + 1)
    found = random_effects.components(moments, count)
    return {name: float(value[0]) for name, value in found.items()}


def squares(values, axes):
    """Return the sum of squares of an interaction: means over other axes, margins taken off."""
    rest = tuple(axis for axis in range(values.ndim) if axis not in axes)
    means = values.mean(axis=rest, keepdims=True)
    for axis in axes:
        means = means - means.mean(axis=axis, keepdims=True)
    return float((means**2).sum()) * values.size / means.size


def anova(differences, b, s, classes, images):
    """Return the variances by expected mean squares, of classes of one size: plain sums."""
    x = differences.reshape(b, s, classes, images)
    within = x - x.mean(axis=3, keepdims=True)
    seeds = x - x.mean(axis=1, keepdims=True)
    k, n = classes, images
    ms = {
        "c": squares(x, (2,)) / (k - 1),
        "b": squares(x, (0,)) / (b - 1),
        "cb": squares(x, (0, 2)) / ((b - 1) * (k - 1)),
        "s": squares(x, (0, 1)) / (b * (s - 1)) + squares(x, (1,)) / (b * (s - 1)),
        "cs": sum(squares(seeds[[place]], (1, 2)) for place in range(b)) / (b * (s - 1) * (k - 1)),
        "i": squares(within, (2, 3)) + squares(within, (3,)),
        "ib": squares(within, (0, 2, 3)) + squares(within, (0, 3)),
    }
    ms["i"] /= k * (n - 1)
    ms["ib"] /= k * (n - 1) * (b - 1)
    whole = float((within**2).sum()) - ms["i"] * k * (n - 1) - ms["ib"] * k * (n - 1) * (b - 1)
    ms["is"] = whole / (b * (s - 1) * k * (n - 1))
    return {
        "image × seed": ms["is"] / n,
        "image × backbone": (ms["ib"] - ms["is"]) / s / n,
        "image": (ms["i"] - ms["ib"]) / (b * s) / n,
        "class × seed": (ms["cs"] - ms["is"]) / n,
        "class × backbone": (ms["cb"] - ms["cs"] - ms["ib"] + ms["is"]) / (n * s),
        "class": (ms["c"] - ms["cb"] - ms["i"] + ms["ib"]) / (n * b * s),
        "seed": (ms["s"] - ms["cs"]) / (n * k),
        "backbone": (ms["b"] - ms["s"] - ms["cb"] + ms["cs"]) / (n * k * s),
    }


def test_components_are_those_of_the_analysis_of_variance():
    differences, labels = simulated(np.random.default_rng(0), 7, 4, (3, 2))
    found = estimated(differences, labels, 3)
    expected = anova(differences, 3, 2, 7, 4)
    assert set(found) == set(expected) == set(SD)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_known_variances_are_recovered_without_bias():
    """Means over 200 draws, with classes of unequal sizes and noise, within four errors."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(2, 9, 30)
    scale = rng.uniform(0.3, 2, 30)
    found = []
    for _ in range(200):
        labels = np.repeat(np.arange(30), sizes)
        plain, _ = simulated(rng, 30, 1, (4, 2), {**SD, **dict.fromkeys(IMAGES, 0.0)})
        noise, _ = simulated(rng, 1, len(labels), (4, 2), {**dict.fromkeys(SD, 0.0), **OF_IMAGES})
        values = plain[:, :, labels] + noise * scale[labels]
        found.append(estimated(values, labels, 4))
    for name, sd in SD.items():
        truth = sd**2 * ((scale**2 / sizes).mean() if name in IMAGES else 1)
        drawn = np.array([each[name] for each in found])
        assert abs(drawn.mean() - truth) < 4 * drawn.std() / np.sqrt(len(drawn)), name


IMAGES = [name for name in SD if name.startswith("image")]
OF_IMAGES = {name: SD[name] for name in IMAGES}


def test_shared_images_do_not_pass_for_agreement_of_classes():
    """Without any effect of classes, images that all backbones share look like one."""
    rng = np.random.default_rng(2)
    sd = {**dict.fromkeys(SD, 0.0), "image": 2.0, "image × backbone": 0.5}
    found = []
    for _ in range(100):
        differences, labels = simulated(rng, 30, 8, (5, 1), sd)
        found.append(estimated(differences, labels, 5)["class"])
    assert abs(np.mean(found)) < 4 * np.std(found) / 10
    assert np.min(found) < 0  # reported as it is


def test_a_seed_per_backbone_leaves_seeds_out_and_one_unit_is_the_variance_between_classes():
    differences, labels = simulated(np.random.default_rng(3), units=(4, 1))
    found = estimated(differences, labels, 4)
    assert list(found) == ["class", "class × backbone", "backbone", "image", "image × backbone"]
    one = estimated(differences[:1], labels, 1)
    assert list(one) == ["class", "image"]
    sample = by_class(differences[0], labels, 40)
    between = effects.between_classes(sample, 100, np.random.default_rng(0))
    assert one["class"] == pytest.approx(between.variance.estimate[0])
    assert one["image"] == pytest.approx(between.noise[0])


def test_one_class_has_no_variance():
    differences, _ = simulated(np.random.default_rng(3), 1, 6, (3, 1))
    moments = random_effects.moments(differences, np.array([0, 0, 0, 1, 2, 3]), 4)
    found = random_effects.component_intervals(moments, 3)
    assert all(np.isnan(each.interval.estimate).all() for each in found.values())


def test_intervals_over_backbones_hold_the_truth():
    """300 draws of five backbones and 40 classes: not known to be below 92 % of nominal 95 %."""
    rng, held = np.random.default_rng(4), {"backbone": 0, "class × backbone": 0, "class": 0}
    for _ in range(300):
        differences, labels = simulated(rng, 40, 4, (5, 1))
        moments = random_effects.moments(differences, labels, 40)
        found = random_effects.component_intervals(moments, 5)
        intervals = {name: each.interval for name, each in found.items()}
        truth = {
            "class": SD["class"] ** 2,
            "backbone": SD["backbone"] ** 2 + SD["seed"] ** 2,
            "class × backbone": SD["class × backbone"] ** 2 + SD["class × seed"] ** 2,
        }
        assert found["backbone"].freedom[0] == 4
        assert 4 <= found["class"].freedom[0] <= 4 + 39
        for name in held:
            held[name] += intervals[name].low[0] <= truth[name] <= intervals[name].high[0]
    for name, count in held.items():
        assert count >= stats.binom.ppf(1e-3, 300, 0.92), (name, count)


def test_the_jackknife_of_a_mean_is_the_t_interval():
    values = np.random.default_rng(5).standard_normal((5, 3))
    plain = random_effects.over_units(values, 0.9)
    knife = random_effects.jackknife(lambda left: values[left].mean(axis=0), 5, 0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    for found in (plain, knife):
        np.testing.assert_allclose(found.low, expected.low)
        np.testing.assert_allclose(found.high, expected.high)
    assert np.isnan(random_effects.over_units(values[:1]).low).all()


GRID = np.array([0.0, 1e-4, 1e-3, 1e-2, 1e-1])


@pytest.mark.parametrize(
    ("places", "reference", "other", "expected"),
    [
        ([0, 1, 2, 3, 4], 2, 2, [0, 1, 2, 3, 4]),
        # One step up; λ = 0 stays, and the end of the grid holds.
        ([0, 1, 2, 3, 4], 2, 3, [0, 2, 3, 4, 4]),
        ([0, 1, 2, 3, 4], 3, 2, [0, 1, 1, 2, 3]),
        # No distance from a best λ of 0.
        ([0, 1, 2, 3, 4], 0, 3, [0, 1, 2, 3, 4]),
    ],
)
def test_a_lambda_moves_with_its_distance_from_the_best(places, reference, other, expected):
    found = transfer.moved(np.array(places), reference, other, GRID)
    assert found.tolist() == expected


def test_logs_of_lambda_have_a_place_for_zero():
    np.testing.assert_allclose(transfer.log_decays(GRID), [-5, -4, -3, -2, -1])
    np.testing.assert_allclose(transfer.log_decays(np.array([0.0, 0.1])), [-2, -1])
    np.testing.assert_allclose(transfer.log_decays(np.array([0.0])), [0])


def test_noise_is_taken_off_correlations():
    """True correlation 0.6; halves have independent errors that hide it."""
    rng, number = np.random.default_rng(6), 20_000
    truth = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], number).T
    first, second = (truth + rng.standard_normal((2, number)) * [[1.0], [0.5]] for _ in range(2))
    halves = transfer.correlations(first, second)
    np.testing.assert_allclose(halves, np.corrcoef(first, second)[:2, 2:], atol=1e-12)
    assert transfer.corrected(halves)[0, 1] == pytest.approx(0.6, abs=0.03)
    assert transfer.corrected(halves)[0, 0] == pytest.approx(1)
    assert np.isnan(transfer.corrected(-np.eye(2))).all()
    assert np.isnan(transfer.correlations(np.zeros((1, 5)), first[:1, :5])).all()


LABELS = ["1e-4", "1e-3", "1e-2"]
OPTIONS = backbones.Options(halvings=3)


def sweep(effect, model, seeds=(0,), seed=0, images=30, noise=0.3):
    """Return runs whose losses are 1 + effect (K, M) and noise that depends on the image."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(effect)), images)
    splits = {}
    for split in ("train", "val", "test"):
        shape = (len(seeds), effect.shape[1], len(truth))
        loss = 1 + effect.T[:, truth] + noise * rng.standard_normal(shape)
        predicted = np.broadcast_to(truth, shape).astype(np.int32).copy()
        splits[split] = _sweeps.Predictions(truth, loss.astype(np.float32), predicted)
    return _sweeps.Sweep((model, "o"), LABELS, list(seeds), splits)


def opposed(sign):
    """Half of 20 classes want the smallest λ, half the largest; or the other way round."""
    each = sign * np.where(np.arange(20) % 2, 1, -1)
    return np.outer(each, [0.3, 0.0, -0.3]) + np.array([0.05, 0, 0.05])


CHANGES = (-0.03, -0.01, -0.05)


def analysed(sweeps, rivals=None):
    return backbones.tables(sweeps, [f"c{n}" for n in range(20)], OPTIONS, rivals)


def rivals(changes):
    """Return the table `rivals`: (model, rival) → change of loss; that of accuracy is opposite."""
    rows = [
        {"model": model, "optimizer": "o", "rival": name, "loss_difference": change}
        for (model, name), change in changes.items()
    ]
    return pd.DataFrame(rows).assign(accuracy_difference=lambda table: -table["loss_difference"])


def _of(table, way):
    return table[table["choice"] == way]


def test_a_choice_is_worth_what_it_is_where_it_is_used():
    """a and b want the same, c the opposite: chosen on c, a and b lose what they could gain."""
    effects_of = {"a": opposed(1), "b": opposed(1), "c": opposed(-1)}
    sweeps = [sweep(each, f"m@{name}", seed=ord(name)) for name, each in effects_of.items()]
    changes = {(f"m@{name}", "mix"): value for name, value in zip("abc", CHANGES, strict=True)}
    made = analysed(sweeps, rivals({**changes, ("m@a", "val"): 0.1, ("m@b", "stop"): np.nan}))
    assert set(made) == set(backbones.TABLES)
    for way in ("val", "shrunk"):
        of = _of(made["transfer"], way).set_index(["chosen_on", "judged_on"])
        gain = of["gain"].unstack()
        np.testing.assert_allclose(np.diagonal(gain), 0.25, atol=0.05)
        assert gain.loc["a", "b"] == pytest.approx(0.25, abs=0.05)
        assert gain.loc["c", "a"] == pytest.approx(-0.35, abs=0.05)
        for column in ("correlation", "correlation_corrected"):
            agreed = of[column].unstack()
            assert agreed.loc["a", "b"] == pytest.approx(1, abs=0.05)
            assert agreed.loc["c", "b"] == pytest.approx(-1, abs=0.05)
            assert np.isnan(np.diagonal(agreed)).all()
        over = _of(made["over-backbones"], way).set_index("quantity")
        assert over.loc["gain of a unit's own λ", "mean"] == pytest.approx(np.diagonal(gain).mean())
        foreign = (gain.to_numpy().sum() - np.trace(gain)) / 6
        assert over.loc["gain of other units' λ", "mean"] == pytest.approx(foreign)
        assert set(over["df"]) == {2}
        # Of one backbone alone nothing is said over backbones.
        assert "change of loss beside one λ" not in over.index
    over = made["over-backbones"].set_index(["choice", "quantity"]).loc["mix"]
    expected = stats.ttest_1samp(CHANGES, 0).confidence_interval()
    row = over.loc["change of loss beside one λ"]
    assert row[["mean", "low", "high"]].tolist() == pytest.approx([np.mean(CHANGES), *expected])
    assert over.loc["change of accuracy beside one λ", "mean"] == pytest.approx(-row["mean"])
    shares = made["variance-shares"].query("weight_decay != reference")
    sums = shares.groupby("weight_decay")["share"].sum()
    np.testing.assert_allclose(sums, 1)
    share = shares.groupby("source")["share"].mean()
    assert share["class × backbone"] > 0.5
    assert share["class"] < 0.1


def test_seeds_are_units_where_there_is_one_backbone():
    runs = sweep(opposed(1), "m", seeds=(0, 3, 5))
    # Rivals are told of backbones: their table has means over seeds.
    made = analysed([runs], rivals({("m", "mix"): -0.1}))
    assert set(made["transfer"]["chosen_on"]) == {"0", "3", "5"}
    found = made["variance-shares"]["source"].drop_duplicates().tolist()
    assert found == ["class", "class × seed", "seed", "image", "image × seed"]
    over = made["over-backbones"]
    assert set(over["unit"]) == {"seed"}
    assert not over["quantity"].str.contains("beside one λ").any()


def test_lambdas_and_seeds_that_a_unit_lacks_are_left_out():
    one, two = (sweep(opposed(1), f"m@{name}", seeds=(0, 1), seed=ord(name)) for name in "ab")
    for split in two.splits.values():
        split.loss[1, 0], split.predicted[1, 0] = np.nan, -1
    (units,) = _units.units([one, two], ["c"] * 20, 0.95, 0)
    assert units.labels == LABELS[1:]
    assert [view.sweep.seeds for view in units.views] == [[0, 1], [0, 1]]
    three = _sweeps.Sweep(("m@b", "o"), LABELS, [1, 2], two.splits)
    for split in two.splits.values():
        split.loss[1, 0], split.predicted[1, 0] = 1, 0
    (units,) = _units.units([one, three], ["c"] * 20, 0.95, 0)
    assert units.labels == LABELS
    assert [view.sweep.seeds for view in units.views] == [[1], [1]]
    assert analysed([one])["transfer"]["chosen_on"].nunique() == 2
    assert analysed([sweep(opposed(1), "m")])["transfer"].empty


def test_backbones_of_other_images_are_refused():
    one, two = sweep(opposed(1), "m@a"), sweep(opposed(1), "m@b", images=29)
    with pytest.raises(DataError, match="different images of val"):
        analysed([one, two])
