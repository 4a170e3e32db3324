"""The ways to a λ per class find what was planted and nothing where nothing is."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from cobaye import kinds, recipes
from cobaye.analyses import classes, per_class
from cobaye.analyses._sweeps import Predictions, Sweep
from cobaye.class_decay import descent
from cobaye.class_decay.descent import Images
from cobaye.class_decay.ways import (
    Given,
    class_size,
    groups,
    hypergradient,
    max_norm,
    refit,
    shrunk,
    val,
)
from cobaye.errors import DataError
from cobaye.objective import solvers
from cobaye.objective.full_batch import FullBatch
from cobaye.statistics import choices, compared, reliability, shrinkage
from cobaye.statistics.sample import Sample, by_class
from cobaye.storage import table_names
from cobaye.tables import writing
from cobaye.training import origins
from tests.chain import BACKBONE_RUN, training_of
from tests.examples import parsed
from tests.jobs import job

K, D = 8, 12
GRID = 10.0 ** np.arange(-3, 0.1, 0.25)


def simulated(seed, scales, train=320, held=320, test=1600):
    """Return train, val and test of softmax regression, class c's true weights of norm scales_c.

    They are at right angles, so that classes of one scale are alike but for their names.
    """
    rng = np.random.default_rng(seed)
    weights = np.linalg.qr(rng.standard_normal((D, K)))[0].T * np.asarray(scales)[:, None]
    parts = []
    for number in (train, held, test):
        x = rng.standard_normal((number, D))
        labels = np.argmax(x @ weights.T + rng.gumbel(size=(number, K)), axis=1)
        parts.append(Images(torch.from_numpy(x), torch.from_numpy(labels)))
    return parts


def fitted(train, weight_decay):
    function = FullBatch(train.inputs, train.labels, K, torch.as_tensor(weight_decay))
    start = torch.zeros(function.shape, dtype=torch.float64)
    return solvers.minimize(function, start, 1e-6).theta


def losses(images, theta):
    logits = images.inputs @ theta[:, :-1].T + theta[:, -1]
    return torch.nn.functional.cross_entropy(logits, images.labels, reduction="none").numpy()


def ways(train, held):
    """Return the best single λ of the grid, and way → a λ for each class."""
    grid = [fitted(train, float(each)) for each in GRID]
    seen = by_class(np.array([losses(held, t) for t in grid]), held.labels.numpy(), K)
    best = int(np.argmin(seen.values.mean(axis=0)))
    curves = shrinkage.curves(seen.relative_to(best), best)
    parts = descent.folds(train, held, 4, 0, train_too=False)
    return GRID[best], {
        "val": GRID[choices.chosen_per_class(seen.means, best)],
        "shrunk": GRID[reliability.lowest(curves)],
        "hypergradient": descent.choose(parts, K, GRID[best]).weight_decays,
    }


def judged(seed, scales, **sizes):
    """Return way → the difference in test loss from the best single λ, with its interval."""
    train, held, test = simulated(seed, scales, **sizes)
    best, chosen = ways(train, held)
    thetas = [fitted(train, float(best)), *(fitted(train, each) for each in chosen.values())]
    values = np.array([losses(test, theta) for theta in thetas])
    sample = by_class(values, test.labels.numpy(), K)
    right = sample.with_values(np.zeros_like(sample.values))
    found = compared.compare(sample, right, 200, np.random.default_rng(seed)).differences["loss"]
    return {
        way: (found.estimate[place], found.high[place]) for place, way in enumerate(chosen, start=1)
    }


def test_without_a_class_effect_no_way_gains_more_than_noise():
    """All classes are alike in truth; only the training images make them differ a little."""
    found = [judged(seed, np.full(K, 2.0), train=1000, test=800) for seed in range(24)]
    for way in found[0]:
        # An interval wholly below 0 would claim a gain: 2.5 % of them do so by chance.
        claims = sum(each[way][1] < 0 for each in found)
        assert claims <= stats.binom.ppf(1 - 1e-4, len(found), 0.025), way
        assert np.mean([each[way][0] for each in found]) > -0.002, way
    # The cautious ways lose little, where the naive one pays for noise.
    mean = {way: np.mean([each[way][0] for each in found]) for way in found[0]}
    assert mean["hypergradient"] < 0.5 * mean["val"]
    assert mean["shrunk"] <= mean["val"]


def test_a_planted_effect_is_exploited():
    """Half the classes have strong weights, half nearly none: no one λ suits both."""
    scales = np.where(np.arange(K) % 2, 5.0, 0.1)
    found = [judged(seed, scales, held=800) for seed in range(6)]
    for way in ("shrunk", "hypergradient"):
        assert np.mean([each[way][0] for each in found]) < -0.003, way
    assert sum(each["hypergradient"][1] < 0 for each in found) >= 4


def test_the_descent_finds_which_classes_want_more():
    scales = np.where(np.arange(K) % 2, 5.0, 0.1)
    train, held, _ = simulated(3, scales, held=2000)
    found = descent.choose(descent.folds(train, held, 4, 0, train_too=False), K, 0.02)
    assert found.steps > 0
    assert found.weight_decays[::2].min() > found.weight_decays[1::2].max()
    # One row of losses per fold and shrinkage, from the common start; chosen where lowest.
    assert found.losses.shape == (4, len(descent.SHRINKAGES), descent.STEPS + 1)
    mean = found.losses.mean(axis=0)
    place = descent.SHRINKAGES.index(found.shrinkage), found.steps
    assert mean[place] == mean.min() < mean[0, 0]


def test_shrinkage_keeps_the_classes_together():
    scales = np.where(np.arange(K) % 2, 5.0, 0.1)
    train, held, _ = simulated(3, scales, held=2000)
    spread = []
    for shrinkage_ in (0.0, 0.5):
        parts = descent.folds(train, held, 2, 0, train_too=False)
        found = descent.choose(parts, K, 0.02, shrinkages=(shrinkage_,), steps=4)
        assert found.steps == 4
        spread.append(np.log(found.weight_decays).std())
    assert spread[1] < 0.7 * spread[0]


def test_a_descent_that_helps_no_left_out_image_keeps_one_lambda(monkeypatch):
    train, held, _ = simulated(1, np.full(K, 0.7), train=80, held=80)
    # Labels of the images to choose on mean nothing for those to stop on.
    parts = [
        part._replace(
            chosen_on=Images(part.chosen_on.inputs, (part.chosen_on.labels + 3) % K),
            stopped_on=part.fitted,
        )
        for part in descent.folds(train, held, 2, 0, train_too=False)
    ]
    found = descent.choose(parts, K, 1e-2)
    assert found.steps == 0
    np.testing.assert_allclose(found.weight_decays, 1e-2)
    with pytest.raises(ValueError, match="above 0"):
        descent.choose(parts, K, 0.0)


def test_folds_deal_classes_evenly_and_leave_out_what_they_say():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 97)
    dealt = descent.dealt(labels, 4, 1)
    for one in range(5):
        counts = np.bincount(dealt[labels == one], minlength=4)
        assert np.ptp(counts) <= 1
    assert np.ptp(np.bincount(dealt)) <= 1
    assert (dealt != descent.dealt(labels, 4, 2)).any()

    def numbered(start, count):
        return Images(torch.arange(start, start + count)[:, None], torch.from_numpy(labels[:count]))

    train, held = numbered(0, 60), numbered(100, 40)
    stopped = []
    for part in descent.folds(train, held, 4, 0, train_too=True):
        own = [set(each.inputs[:, 0].tolist()) for each in part[:3]]
        assert own[0] | own[1] | own[2] == {*range(60), *range(100, 140)}
        assert sum(map(len, own)) == 100
        assert len(own[0]) == 45
        assert max(own[0]) < 60
        assert min(own[2]) >= 100
        assert part.whole == 60
        stopped += own[2]
    assert sorted(stopped) == list(range(100, 140))
    for part in descent.folds(train, held, 4, 0, train_too=False):
        assert len(part.fitted) == 60
        assert len(part.chosen_on) == 30


def test_lambda_weighs_the_same_where_a_fold_leaves_images_out():
    """Beside the sum of losses stands λN/2 ‖θ‖², N being all the training images."""
    train, held, _ = simulated(0, np.full(K, 1.0))
    part = descent.Fold(train, held, held, whole=2 * len(train))
    found = descent.choose([part], K, 0.01, steps=1)
    alone = losses(held, fitted(train, 0.02)).mean()
    np.testing.assert_allclose(found.losses[0, :, 0], alone, rtol=1e-3)
    assert abs(losses(held, fitted(train, 0.01)).mean() / alone - 1) > 3e-3


# The ways, from tables.


def given(tables, images=None):
    optimizer = recipes.Optimizer(
        recipes.Kind("exact", {}), None, recipes.Kind("constant", {}), None, 1, "none"
    )
    training = recipes.Training(
        recipes.Data("d", None), "exact", recipes.Kind("linear", {}), optimizer, 0.0, True, 0
    )
    return Given(tables, "1e-2", K, training, images, False, "cpu")


def test_val_takes_each_class_own_lambda_and_the_best_for_a_class_without():
    table = pd.DataFrame({"class": [0, 2], "weight_decay": ["0", "1e-3"]})
    found = val.choose(given({"best-lambda-per-class": table}), val.Options()).weight_decays
    np.testing.assert_array_equal(found, [0, 1e-2, 1e-3, *[1e-2] * (K - 3)])


def test_shrunk_takes_the_lowest_of_the_validation_curve():
    labels = ["1e-3", "1e-2", "1e-1"]
    rows = [
        {"class": one, "split": split, "weight_decay": label, "shrunk": value}
        for one in range(K)
        for split, values in (("val", [0.1, 0.0, -0.1 * (one == 3)]), ("test", [-9.0, 0, 0]))
        for label, value in zip(labels, values, strict=True)
    ]
    found = shrunk.choose(given({"shrunk-curves": pd.DataFrame(rows)}), shrunk.Options())
    # Ties go to the larger λ.
    assert found.weight_decays[3] == 1e-1
    assert set(found.weight_decays[:3]) == {1e-1}


def by_hand(losses, seeds=1):
    """Return `classes` and `runs` of these val losses, λ → by class, and of train 1, 2, 3, …"""
    run = {"model": "m", "optimizer": "o"}
    rows = [
        {**run, "weight_decay": label, "seed": seed, "split": split, "class": c, "n": n, "loss": x}
        for label, values in losses.items()
        for seed in range(seeds)
        for split, each in (("train", range(K)), ("val", values), ("test", [9.0] * K))
        for c, (n, x) in enumerate(zip([30, 10] * (K // 2), each, strict=True))
    ]
    runs = [
        {**run, "weight_decay": label, "seed": seed, "finite": True}
        for label in losses
        for seed in range(seeds)
    ]
    return {"classes": pd.DataFrame(rows), "runs": pd.DataFrame(runs)}


def test_groups_pool_the_images_of_classes_alike_on_train():
    """Easy: classes 0 to 3, of 30, 10, 30 and 10 images; the two of 30 outweigh the two of 10."""
    tables = by_hand({"1e-1": [2, 1, 2, 1, 3, 3, 3, 3], "1e-2": [1.5, 2, 1.5, 2, 3, 3, 3, 3]})
    found = groups.choose(given(tables), groups.Options())
    assert list(found.weight_decays) == [1e-2] * 4 + [1e-1] * 4  # a tie goes to the larger λ
    assert found.parameters == 2
    assert found.info == {"classes": [4, 4], "lambda": ["1e-2", "1e-1"]}
    # A seed that diverged at a λ does not count there; sizes differ by one at most.
    tables = by_hand({"1e-1": [1] * K, "1e-2": [2] * K}, seeds=2)
    bad = (tables["runs"]["weight_decay"] == "1e-1") & (tables["runs"]["seed"] == 1)
    tables["runs"].loc[bad, "finite"] = False
    table = tables["classes"]
    table.loc[(table["weight_decay"] == "1e-1") & (table["seed"] == 1), "loss"] = np.inf
    found = groups.choose(given(tables), groups.Options(groups=3))
    assert set(found.weight_decays) == {1e-1}
    assert found.info["classes"] == [3, 3, 2]
    with pytest.raises(DataError, match=r"groups: 9: train has images of 8 classes only"):
        groups.choose(given(tables), groups.Options(groups=9))
    with pytest.raises(ValueError, match="at least 2"):
        groups.Options(groups=1)


def test_refit_keeps_the_best_lambda_for_all():
    found = refit.choose(given({}), refit.Options())
    assert (list(found.weight_decays), found.parameters) == ([1e-2] * K, 1)
    assert kinds.constant("ways", "refit", "TRAIN_SPLITS") == ("train", "val")


def test_hypergradient_is_the_descent_and_says_how_it_ended(capsys):
    train, held, _ = simulated(3, np.where(np.arange(K) % 2, 5.0, 0.1), held=800)
    images = {"train": train, "val": held}.__getitem__
    options = hypergradient.Options(folds=2, steps=2)
    found = hypergradient.choose(given({}, images), options)
    parts = descent.folds(train, held, 2, 0, train_too=False)
    alike = descent.choose(parts, K, 1e-2, steps=2)
    np.testing.assert_array_equal(found.weight_decays, alike.weight_decays)
    assert found.info["steps"] == alike.steps
    assert found.info["train_joins"] is False
    assert "fold 2" in capsys.readouterr().out
    with pytest.raises(Exception, match="starts above 0"):
        hypergradient.choose(Given({}, "0", K, None, images, False, "cpu"), hypergradient.Options())


def test_a_lambda_by_class_size_is_the_best_of_its_neighbours(capsys):
    """The rare half of the classes has small true weights, and wants a larger λ."""
    train, held, _ = simulated(3, np.where(np.arange(K) % 2, 5.0, 0.1), train=1500)
    rare = (train.labels.numpy() % 2 == 0) & (np.arange(1500) % 8 > 0)
    images = {"train": train.at(~rare), "val": held}
    options = class_size.Options(step=0.5)
    found = class_size.choose(given({}, images.__getitem__), options)
    counts = np.bincount(images["train"].labels, minlength=K)
    sizes = np.log(counts) - np.log(counts).mean()
    info = found.info
    assert info["gamma"] > 0
    np.testing.assert_allclose(
        found.weight_decays, info["lambda"] * np.exp(-info["gamma"] * sizes), rtol=1e-12
    )
    losses_at = {(a, b): loss for a, b, loss in info["losses"]}
    place = round(np.log2(info["lambda"] / 1e-2)), round(info["gamma"] / 0.5)
    around = [(place[0] + a, place[1] + b) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert losses_at[place] == min(losses_at[each] for each in (place, *around))
    # An independent solver agrees on the loss there.
    theta = fitted(images["train"], torch.from_numpy(found.weight_decays))
    assert losses(held, theta).mean() == pytest.approx(losses_at[place], abs=2e-3)
    with pytest.raises(DataError, match="best λ is 0: class-size multiplies it"):
        class_size.choose(Given({}, "0", K, None, images, False, "cpu"), options)


def test_a_cap_on_the_norm_is_a_lambda_for_each_class_beyond_it(capsys):
    train, held, _ = simulated(3, np.where(np.arange(K) % 2, 5.0, 0.5))
    images = {"train": train, "val": held}.__getitem__
    options = max_norm.Options(caps=(0.6,), factors=(1.0,), steps=20)
    found = max_norm.choose(given({}, images), options)
    assert abs(found.info["excess"]) < 1e-2
    norms = fitted(train, torch.from_numpy(found.weight_decays)).norm(dim=1).numpy()
    capped = found.weight_decays > 1.05e-2
    assert 2 <= capped.sum() < K
    np.testing.assert_allclose(norms[capped], found.info["cap"], rtol=2e-2)
    assert (norms[~capped] <= found.info["cap"] * 1.02).all()


@pytest.fixture(scope="module")
def world():
    """Train, val and the tables of a sweep over three λ, as `tabulate` and `classes` make them."""
    labels, sets = ["1e-3", "1e-2", "1e-1"], simulated(3, np.where(np.arange(K) % 2, 5.0, 0.1))
    thetas = [fitted(sets[0], float(label)) for label in labels]
    predictions = {}
    for split, images in zip(("train", "val", "test"), sets, strict=True):
        loss = np.array([[losses(images, theta) for theta in thetas]], np.float32)
        right = images.labels.numpy()
        predictions[split] = Predictions(right, loss, np.broadcast_to(right, loss.shape))
    sweep = Sweep(("linear", "exact"), labels, [0], predictions)
    options, names = classes.Options(draws=100, splits=20), [str(one) for one in range(K)]
    tables = classes.tables([sweep], names, options, lambda row: None)
    curves = by_class(predictions["val"].loss[0], predictions["val"].labels, K).means
    best = pd.DataFrame({"class": range(K), "weight_decay": np.take(labels, curves.argmin(1))})
    tables |= {
        "best-lambda-per-class": best.assign(test_loss=1.0),
        **tabulated(predictions, labels),
    }
    return sets[:2], tables


def tabulated(predictions, labels):
    """Return the tables `classes` and `runs` of one seed."""
    rows = []
    for split, seen in predictions.items():
        sample = by_class(seen.loss[0], seen.labels, K)
        for number, means in enumerate(sample.means):
            for label, loss in zip(labels, means, strict=True):
                rows.append((label, split, number, sample.counts[number], loss))
    run = {"model": "linear", "optimizer": "exact", "seed": 0}
    table = pd.DataFrame(rows, columns=["weight_decay", "split", "class", "n", "loss"])
    runs = pd.DataFrame({"weight_decay": labels, "finite": True}).assign(**run)
    return {"classes": table.assign(**run), "runs": runs}


@pytest.mark.parametrize("way", kinds.names("ways"))
def test_every_way_chooses_a_lambda_per_class_and_never_by_test_images(way, world):
    (train, held), tables = world
    assert set(kinds.constant("ways", way, "SPLITS")) <= {"train", "val"}
    reads = kinds.constant("ways", way, "TABLES")
    assert set(reads) <= set(table_names.makers())
    if not set(reads) <= set(tables):
        pytest.skip(f"{way} reads tables of other analyses than `classes`")
    images, chosen = {"train": train, "val": held}.__getitem__, []
    for value in (1.0, -9.0):
        changed = {name: tables[name].copy() for name in reads}
        for table in changed.values():
            tested = table.get("split", pd.Series("", table.index)) == "test"
            numbers = table.select_dtypes("number").columns.difference(["class"])
            table.loc[tested, numbers] = value
            table[[name for name in table if name.startswith("test")]] = value
        known = given(changed, images)
        choice = kinds.load("ways", way).choose(known, parsed("ways", way))
        chosen.append(choice.weight_decays)
        json.dumps(choice.info)
    assert (chosen[0].shape, chosen[0].dtype) == ((K,), np.float64)
    assert np.isfinite(chosen[0]).all()
    assert chosen[0].min() > 0
    np.testing.assert_array_equal(*chosen)
    # Half of the classes want more than the others.
    one = choice.parameters == 1
    capped = way == "max-norm"  # a larger λ for the others
    assert chosen[0][::2].mean() > 2 * chosen[0][1::2].mean() or one or capped
    assert len(np.unique(chosen[0])) == 1 or not one


# The judge.


def test_intervals_of_differences_cover_the_truth():
    """Loss, and the accuracies: 300 simulations of classifiers of one quality."""
    rng, missed = np.random.default_rng(0), dict.fromkeys(compared.MEASURES, 0)
    labels = np.repeat(np.arange(20), 15)
    for _ in range(300):
        common = rng.standard_normal(300)
        values = common + 0.5 * rng.standard_normal((2, 300))
        found = compared.compare(
            by_class(values, labels, 20),
            by_class((values < 0.3).astype(float), labels, 20),
            200,
            rng,
        )
        for measure, interval in found.differences.items():
            missed[measure] += interval.low[1] > 0 or interval.high[1] < 0
    bound = stats.binom.ppf([1e-4, 1 - 1e-4], 300, 0.05)
    for measure in ("loss", "accuracy"):
        assert bound[0] <= missed[measure] <= bound[1], measure
    # Extremes of classes are no means: their intervals may be too wide, never too narrow.
    for measure in ("lowest", "tenth"):
        assert missed[measure] <= bound[1], measure


def test_measures_are_what_they_are_called():
    rng = np.random.default_rng(1)
    counts = np.array([4, 0, 6, *[5] * 18])
    right = (rng.random((counts.sum(), 3)) < 0.6).astype(float)
    loss = rng.random((counts.sum(), 3))
    found = compared.compare(Sample(loss, counts), Sample(right, counts), 100, rng)
    labels = np.repeat(np.arange(21), counts)
    own = pd.DataFrame(right).groupby(labels).mean()
    np.testing.assert_allclose(found.values["loss"], loss.mean(axis=0))
    np.testing.assert_allclose(found.values["accuracy"], right.mean(axis=0))
    np.testing.assert_allclose(found.values["lowest"], own.min())
    worst = [own[column].nsmallest(2).mean() for column in own]
    np.testing.assert_allclose(found.values["tenth"], worst)
    assert found.differences["loss"].estimate[0] == 0


def test_lambdas_stand_beside_what_their_class_is_like():
    best = {"model": "linear", "optimizer": "exact", "weight_decay": "1e-2"}
    chosen = pd.DataFrame(
        {"model": "linear", "optimizer": "exact", "class": range(10), "weight_decay": 0.1}
    )
    other = chosen.assign(optimizer="sgd", weight_decay=7.0)
    traits = pd.DataFrame({"n_train": range(20, 30), "weight_norm": np.linspace(1, 2, 10)})
    ways = {"way": pd.concat([other, chosen.iloc[::-1]], ignore_index=True), "own": chosen}
    table = per_class.lambdas(best, ways, traits)
    assert list(table["choice"]) == ["way"] * 10 + ["own"] * 10
    assert list(table["n_train"]) == [20 + number for number in table["class"]]
    assert list(table["weight_norm"]) == [1 + number / 9 for number in table["class"]]
    assert (table["weight_decay"] == 0.1).all()
    assert (table["best"] == "1e-2").all()


def test_a_run_takes_each_class_lambda_in_the_order_of_the_classes(tmp_path):
    """Of its own configuration, whatever the order of the table's rows."""
    identity = {"study": "s", "model": "m", "optimizer": "o", "weight_decay": "per-class-val"}
    rows = [("m", "o", 1, "0.5"), ("other", "o", 0, "7"), ("m", "o", 0, "0.25"), ("m", "o", 2, "0")]
    table = pd.DataFrame(rows, columns=["model", "optimizer", "class", "weight_decay"])
    choosing = job("choose_weight_decay", {"study": "s", "way": "val"}, {}, tmp_path)
    path = choosing.folder / "chosen-val.csv"
    choosing.publish({path.name: writing.write_csv(path, table)})
    recipe = {
        "origin": "class-decay",
        "way": "val",
        "training": recipes.plain(training_of(BACKBONE_RUN)),
    }
    training, origin = origins.resolve(job("train", {**identity, "seed": 0}, recipe, tmp_path))
    assert training.weight_decay == (0.25, 0.5, 0.0)
    assert origin.values == {"way": "val", "weight_decay": [0.25, 0.5, 0.0]}
    other = {**identity, "model": "without", "seed": 0}
    with pytest.raises(DataError, match="no λ is chosen for without/o"):
        origins.resolve(job("train", other, recipe, tmp_path))
