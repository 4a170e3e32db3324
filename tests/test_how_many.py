"""How many λ: what is planted is found, noise is not, and no class predicts its own λ."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special, stats

from cobaye.analyses import _groupings, how_many
from cobaye.analyses._sweeps import Predictions, Sweep
from cobaye.class_decay.ways import clustered, predicted
from cobaye.data.splits import Split
from cobaye.errors import DataError
from cobaye.statistics import choices, groups, reliability, shrinkage, traits
from cobaye.statistics.sample import by_class
from tests.drawing import drawn

LABELS = ["1e-4", "1e-3", "1e-2", "1e-1", "1e0"]
MIDDLE = 2


def simulated(rng, optima, images=30, depth=0.15, spread=0.5):
    """Return losses of classes whose curves over five λ are lowest at their own place."""
    labels = np.repeat(np.arange(len(optima)), images)
    curves = depth * (np.arange(5)[:, None] - np.asarray(optima)) ** 2
    noise = spread * rng.standard_normal((5, len(labels))).cumsum(axis=0)
    return by_class(1 + curves[:, labels] + noise - noise[MIDDLE], labels, len(optima))


def two_kinds(seed=0, classes=40):
    """Return val and test of classes that need λ 1 or λ 3; the best λ for all lies between."""
    rng = np.random.default_rng(seed)
    optima = np.where(np.arange(classes) % 2, 1, 3)
    return simulated(rng, optima), simulated(rng, optima), optima


def chosen(procedure, val):
    """Return the λ of each class, of what was seen."""
    return procedure((val.means[None], val.means[None], np.ones((1, len(val.counts)))))[0]


def gain(procedure, val, test, reference=MIDDLE):
    return choices.gain(test, reference, chosen(procedure, val))


# Groups.


def test_numbers_are_powers_of_two_and_the_classes():
    assert groups.numbers(200) == [1, 2, 4, 8, 16, 32, 64, 128, 200]
    assert groups.numbers(8) == [1, 2, 4, 8]
    assert groups.numbers(2) == [1, 2]


def test_classes_of_two_kinds_need_two_lambdas():
    """The gain rises to two groups, 0.15 nats, and neither rises nor falls by a tenth after."""
    val, test, optima = two_kinds()
    found = [gain(groups.by_curves(val, MIDDLE, n), val, test).estimate for n in (1, 2, 4, 40)]
    assert found[0] == 0
    assert found[1] == pytest.approx(0.15, abs=0.03)
    assert found[2:] == pytest.approx([found[1]] * 2, rel=0.1)
    np.testing.assert_array_equal(chosen(groups.by_curves(val, MIDDLE, 2), val), optima)
    known = groups.by_groups(val, optima // 3, MIDDLE)
    assert gain(known, val, test).estimate == pytest.approx(0.15, abs=0.03)
    # Groups that mix both kinds gain nothing.
    mixed = groups.by_groups(val, np.arange(40) // 20, MIDDLE)
    assert gain(mixed, val, test).estimate == pytest.approx(0, abs=0.01)


def test_a_group_of_each_class_is_the_shrunk_choice_and_one_group_the_best_lambda():
    rng = np.random.default_rng(1)
    val = simulated(rng, rng.integers(1, 4, 30), images=10)
    own = reliability.lowest(shrinkage.curves(val.relative_to(MIDDLE), MIDDLE))
    for procedure in (
        groups.by_groups(val, np.arange(30), MIDDLE),
        groups.by_curves(val, MIDDLE, 30),
    ):
        np.testing.assert_array_equal(chosen(procedure, val), own)
    overall = int(reliability.lowest(val.values.mean(axis=0)))
    for procedure in (
        groups.by_groups(val, np.zeros(30, int), MIDDLE),
        groups.by_curves(val, MIDDLE, 1),
    ):
        assert set(chosen(procedure, val)) == {overall}


def test_groups_of_one_curve_are_drawn_together():
    """Thirty groups of few images: noise spreads the λ of lowest mean, and not these."""
    rng = np.random.default_rng(2)
    val = simulated(rng, np.full(60, 1), images=4, depth=0.1)
    group = np.arange(60) // 2
    pooled = by_class(val.values.T, group[val.labels], 30)
    seen = reliability.lowest(pooled.means)
    own = chosen(groups.by_groups(val, group, 1), val)
    assert (seen == 1).mean() < 0.7
    assert (own == 1).mean() > 0.9


def test_the_columns_left_are_those_of_single_steps_by_hand():
    """Against loops over draws, steps and columns, on curves of no order."""
    rng = np.random.default_rng(3)
    curves, images = rng.standard_normal((6, 9, 5)), rng.integers(0, 4, (6, 9)).astype(float)
    for number in (2, 3, 5):
        found = groups._eliminated(curves, images, number)
        for draw in range(6):
            left = list(range(5))
            while len(left) > number:
                kept = [[one for one in left if one != gone] for gone in left]
                costs = [images[draw] @ curves[draw][:, each].min(axis=1) for each in kept]
                left = kept[int(np.argmin(costs))]
            np.testing.assert_array_equal(
                found[draw], np.array(left)[curves[draw][:, left].argmin(1)]
            )


@pytest.mark.parametrize("seed", range(3))
def test_confusions_put_classes_together_whatever_their_labels(seed):
    """Four sets of six, mistaken within a set ten times as often as between them."""
    rng = np.random.default_rng(seed)
    member = rng.permutation(np.repeat(np.arange(4), 6))
    rates = np.where(member[:, None] == member, 10, 1) + 200 * np.eye(24)
    group = groups.blocks(groups.by_confusion(rng.poisson(rates)), 4)
    assert len({*zip(group, member, strict=True)}) == 4


def test_no_mistakes_give_an_order_too():
    assert sorted(groups.by_confusion(np.diag([5, 5, 0, 5, 5, 5]))) == list(range(6))


# Prediction from traits.


def test_margins_are_those_of_logits():
    rng = np.random.default_rng(4)
    logits, labels = rng.standard_normal((60, 5)), np.repeat(np.arange(5), 12)
    loss = special.logsumexp(logits, axis=1) - logits[np.arange(60), labels]
    others = np.where(np.arange(5) == labels[:, None], -np.inf, logits)
    margin = logits[np.arange(60), labels] - special.logsumexp(others, axis=1)
    found = traits.margins(by_class(loss[None], labels, 5))
    np.testing.assert_allclose(found, margin.reshape(5, 12).mean(axis=1), rtol=1e-9)
    assert np.isfinite(traits.margins(by_class(np.zeros((1, 5)), np.arange(5), 5))).all()


def test_a_trait_that_decides_predicts_and_one_that_does_not_gains_nothing():
    val, test, optima = two_kinds()
    halves = traits.halvings(40, 5, np.random.default_rng(5))
    decisive = np.column_stack([optima, np.full(40, 7.0), np.full(40, np.nan)])
    np.testing.assert_array_equal(chosen(traits.by_traits(val, decisive, halves), val), optima)
    idle = np.random.default_rng(6).standard_normal((40, 1))
    assert gain(traits.by_traits(val, idle, halves), val, test).estimate < 0.03


def test_a_class_does_not_predict_its_own_lambda():
    val, _, optima = two_kinds()
    halves = traits.halvings(40, 5, np.random.default_rng(5))
    assert (halves.sum(axis=1) == 20).all()
    changed = val.values.copy()
    changed[val.labels == 7] += 100 * np.array([-1, 0, 0, 0, 1])
    other = val.with_values(changed)
    procedure = traits.by_traits(val, optima[:, None], halves)
    assert chosen(procedure, other)[7] == chosen(procedure, val)[7] == 1


def test_separation_is_that_of_the_nearest_class():
    """On a line: 0, 1 and 4, variances 1, 3 and 5; one class has no images."""
    means = np.array([[0.0], [1.0], [np.nan], [4.0]])
    found = traits.separation(means, np.array([1.0, 3.0, np.nan, 5.0]))
    np.testing.assert_allclose(found, [4 / 2, 4 / 2, np.nan, 8 / 18])


def test_moments_of_classes_are_those_of_all_rows_at_once():
    rng = np.random.default_rng(8)
    inputs, labels = rng.standard_normal((5000, 3)), rng.integers(0, 4, 5000)
    labels[labels == 2] = 1
    parts = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    means, variances = _groupings._moments(Split(*parts, 4, {}))
    for label in (0, 1, 3):
        own = inputs[labels == label]
        np.testing.assert_allclose(means[label], own.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(variances[label], own.var(axis=0).sum(), rtol=1e-6)
    assert np.isnan(variances[2])


# Intervals.


def test_without_an_effect_the_intervals_hold_zero_and_noise_holds_the_gain():
    """One curve for all of 16 classes, 60 studies, intervals by images and by classes."""
    above = dict.fromkeys(("images", "classes", "noise"), 0)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        val, test = (simulated(rng, np.full(16, MIDDLE), images=12, depth=0.02) for _ in "ab")
        reference = int(reliability.lowest(val.values.mean(axis=0)))
        procedure = groups.by_curves(val, reference, 4)
        found = gain(procedure, val, test, reference).estimate
        one = {"it": procedure}
        images, noise = (
            choices.gains_of(
                choices.other_images(val, test, reference, 100, rng, one_curve=alike),
                val,
                test,
                one,
            )["it"]
            for alike in (False, True)
        )
        world = choices.other_classes(val, test, 100, rng)
        classes = choices.gains_of(world, val, test, one)["it"]
        above["images"] += choices.normal(found, images.std(ddof=1)).low > 0
        above["classes"] += choices.students(found, classes.std(ddof=1), 16).low > 0
        above["noise"] += found > np.quantile(noise, 0.975)
    assert all(count <= stats.binom.ppf(1 - 1e-3, 60, 0.025) for count in above.values()), above


def test_a_gain_of_the_detectable_size_is_seen_as_often_as_stated():
    rng = np.random.default_rng(7)
    seen = choices.detectable(0.3) + 0.3 * rng.standard_normal(20_000)
    assert (choices.normal(seen, 0.3).low > 0).mean() == pytest.approx(0.8, abs=0.02)


# The analysis.


def sweep(optima, seed=0, train=True, missing=()):
    """Return a sweep whose losses have these optima; classes `missing` have no image in val."""
    rng = np.random.default_rng(seed)
    splits = {}
    for name in ("train", "val", "test"):
        sample = simulated(rng, optima, images=20)
        there = ~np.isin(sample.labels, missing) if name == "val" else np.ones(len(sample.labels))
        rows = np.flatnonzero(there if train or name != "train" else 0 * there)
        loss = sample.values[rows].T[None].astype(np.float32)
        labels = sample.labels[rows]
        predicted = np.broadcast_to(labels, loss.shape).astype(np.int32)
        splits[name] = Predictions(labels, np.abs(loss), predicted)
    return Sweep(("linear", "sgd"), LABELS, [0], splits)


OPTIMA = np.where(np.arange(12) % 2, 1, 3)
NAMES = [f"class {number}" for number in range(12)]


def tables(each, **options):
    own = {each.group: np.where(OPTIMA == 1, 0.1, 2.0)}
    return how_many.tables([each], NAMES, how_many.Options(draws=100, **options), own)


def test_tables_have_a_row_for_each_grouping_and_a_lambda_for_each_class():
    even = {"odd": NAMES[1::2]}
    found = tables(sweep(OPTIMA), superclasses=even)
    rows = found["how-many"].set_index(["grouping", "groups"])
    assert list(rows.loc["random"].index) == [1, 2, 4, 8, 12]
    tried = itertools.product(("curves", "confusion", "difficulty", "random"), (1, 2, 4, 8, 12))
    predictions = ("margin", 12), ("separation", 12)
    assert sorted(rows.index) == sorted([*tried, ("superclasses", 2), *predictions])
    two = rows.loc["curves", 2]
    assert (two["lambdas"], two["classes_moved"], two["best"]) == (2, 12, "1e-2")
    assert two["classes_low"] > 0
    assert two["images_low"] > two["noise_high"]
    assert rows.loc[("superclasses", 2), "gain"] == pytest.approx(two["gain"])
    assert rows.loc[("curves", 1), "short"] == rows.loc[("curves", 12), "gain"]
    assert (rows.loc[(slice(None), 1), ["gain", "detectable", "classes_high"]] == 0).all(axis=None)
    own = found["grouped-lambda"]
    own = own[(own["grouping"] == "superclasses")]
    assert list(own["weight_decay"]) == ["1e-1", "1e-3"] * 6
    again = tables(sweep(OPTIMA), superclasses=even)
    pd.testing.assert_frame_equal(found["how-many"], again["how-many"])


def test_a_class_without_validation_images_keeps_the_best_lambda():
    found = tables(sweep(OPTIMA, missing=[5]))
    own = found["grouped-lambda"].set_index(["grouping", "groups", "class"]).sort_index()
    own = own["weight_decay"]
    assert own["curves", 2, 5] == "1e-2"
    assert set(own["curves", 2].drop(5)) == {"1e-1", "1e-3"}
    assert set(found["how-many"]["groups"]) == {1, 2, 4, 8, 11}


def test_without_training_losses_nothing_is_made_of_them():
    found = tables(sweep(OPTIMA, train=False))["how-many"]
    assert set(found["grouping"]) == {"curves", "confusion", "random"}
    one = sweep(OPTIMA)
    one = Sweep(one.group, LABELS[:1], [0], {
        name: Predictions(each.labels, each.loss[:, :1], each.predicted[:, :1])
        for name, each in one.splits.items()
    })  # fmt: skip
    assert all(table.empty for table in tables(one).values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": ["nobody"]}, "superclasses.a: 'nobody' is no class"),
        ({"a": ["class 1"], "b": ["class 1"]}, "superclasses.b: 'class 1' is in another"),
    ],
)
def test_superclasses_that_cannot_be_are_refused_by_name(given, said):
    with pytest.raises(DataError, match=said):
        _groupings.superclasses(given, NAMES)


def test_ways_train_what_the_table_says_or_name_what_it_has():
    table = tables(sweep(OPTIMA))["grouped-lambda"]
    given = types.SimpleNamespace(tables={"grouped-lambda": table}, classes=12, best="1e-2")
    found = clustered.choose(given, clustered.Options(groups=2))
    np.testing.assert_array_equal(found.weight_decays, [1e-1, 1e-3] * 6)
    assert found.parameters == 2
    rows = table[table["grouping"] == "separation"]
    own = predicted.choose(given, predicted.Options()).weight_decays
    np.testing.assert_array_equal(own, rows["weight_decay"].astype(float))
    np.testing.assert_array_equal(own, [1e-1, 1e-3] * 6)
    with pytest.raises(DataError, match="3 groups: the table has 1, 2, 4, 8, 12"):
        clustered.choose(given, clustered.Options(groups=3))


def test_the_figure_shows_the_table_and_trained_classifiers():
    table = tables(sweep(OPTIMA))["how-many"]
    row = {"rival": "clustered", "parameters": 2, "loss_difference": -0.05}
    row |= {"loss_classes_low": -0.09, "loss_classes_high": -0.01}
    rival = pd.DataFrame([{"model": "linear", "optimizer": "sgd", **row}])
    (ax,) = drawn("how-many", {"how-many": table, "rivals": rival}).axes
    lines = {tuple(line.get_ydata()) for line in ax.lines}
    for grouping in ("curves", "random"):
        assert tuple(table.loc[table["grouping"] == grouping, "gain"]) in lines
    inner = table[table["groups"].isin([2, 4, 8])]
    for grouping in ("difficulty", "confusion"):
        assert tuple(inner.loc[inner["grouping"] == grouping, "gain"]) in lines
    assert (0.05,) in lines
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == ["1", "2", "4", "8", "12", "predicted"]
    (without,) = drawn("how-many", {"how-many": table}).axes
    assert len(without.lines) == len(ax.lines) - 1
