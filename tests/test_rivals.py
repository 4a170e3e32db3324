"""Each rival of one λ finds what was planted, and the table judges them by their numbers."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import recipes
from cobaye.analyses import _long_tail_heads, _rival_heads, _rival_tables, long_tail, rivals
from cobaye.data.splits import Split
from cobaye.models.scoring import Forward
from cobaye.statistics import compared
from cobaye.statistics.sample import by_class
from cobaye.storage import paths
from tests import chain
from tests.jobs import job

K, D = 6, 8
LINEAR = recipes.Kind("linear", {})


def head(weight, bias=0.0):
    return {"head.weight": weight, "head.bias": torch.zeros(K, dtype=torch.float64) + bias}


def planted(heads, truth, images=1500, metrics=None, best=None):
    """Return a path of these heads, λ → head, whose val labels are drawn from `truth`."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(images, D, generator=generator)
    logits = x.double() @ truth["head.weight"].T + truth["head.bias"]
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    if metrics is None:
        metrics = pd.DataFrame({"weight_decay": list(heads), "epoch": 1, "loss": 1.0})
    return _rival_heads.LambdaPath(
        runs=dict.fromkeys((label, 0) for label in heads),
        best=best or next(iter(heads)),
        metrics=metrics,
        val=Split(x, labels, K, {}),
        forward=Forward(LINEAR, (D,), K, "cpu"),
        _heads={(label, 0): each for label, each in heads.items()},
    )


@pytest.fixture(scope="module")
def truth():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(K, D, generator=generator, dtype=torch.float64)
    return head(weight, torch.linspace(-0.6, 0.6, K))


def losses(path, rival):
    """Return the mean loss on val of a rival's one classifier."""
    with torch.no_grad():
        logits = path.logits(rival.heads[0])
        return torch.nn.functional.cross_entropy(logits, path.val.labels).item()


@torch.no_grad()
def test_each_rival_finds_what_was_planted(truth):
    other = torch.randn(K, D, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    doubled = head(2 * truth["head.weight"])
    heads = {"1e-3": head(truth["head.weight"] + 0.5 * other), "1e-2": doubled}
    path = planted(heads, truth)
    one, warm, biased, joint, mix = _rival_heads.untrained(path)
    names = ["one", "temperature", "bias", "joint", "mix"]
    assert [each.name for each in (one, warm, biased, joint, mix)] == names
    assert one.heads[0] is heads["1e-3"]
    # Alone the doubled head is the worse one; at its temperature it is the better one.
    assert losses(path, joint) < losses(path, warm) < losses(path, one)
    assert joint.chosen.startswith("λ = 1e-2, T = ")
    ratio = joint.heads[0]["head.weight"] / truth["head.weight"]
    np.testing.assert_allclose(ratio, torch.full_like(ratio, ratio[0, 0].item()))
    assert ratio[0, 0].item() == pytest.approx(1, abs=0.1)
    assert losses(path, mix) <= losses(path, joint) + 1e-6
    # A bias is what the doubled head lacks.
    alone = planted({"1e-2": doubled}, truth)
    found = _rival_heads.bias(alone).heads[0]
    shift = found["head.bias"] - found["head.bias"].mean()
    np.testing.assert_allclose(shift, truth["head.bias"], atol=0.25)
    assert [each.name for each in _rival_heads.untrained(alone)] == names[:3]


def test_heads_are_scaled_and_stitched():
    first, second = head(torch.ones(K, D).double(), 1.0), head(torch.zeros(K, D).double(), -1.0)
    scaled = _rival_heads.affine(first, 0.5, torch.arange(K))
    assert scaled["head.weight"].eq(0.5).all()
    assert scaled["head.bias"].tolist() == [0.5 + each for each in range(K)]
    rows = _rival_heads.stitched([first, second, second, first, second, first])
    assert rows["head.weight"][:, 0].tolist() == [1, 0, 0, 1, 0, 1]
    assert rows["head.bias"].tolist() == [1, -1, -1, 1, -1, 1]


def test_early_stopping_takes_the_lambda_and_the_epoch_of_lowest_val_loss(monkeypatch, truth):
    rows = [("1e-3", 0, 0.1), ("1e-3", 1, 0.7), ("1e-3", 2, 0.5), ("1e-3", 3, 0.9)]
    rows += [("1e-2", 0, 0.1), ("1e-2", 1, 0.6), ("1e-2", 2, 0.5), ("1e-2", 3, np.inf)]
    metrics = pd.DataFrame(rows, columns=["weight_decay", "epoch", "loss"])
    path = planted(dict.fromkeys(("1e-3", "1e-2"), truth), truth, 10, metrics)
    loaded = []
    monkeypatch.setattr(_rival_heads, "load_head", lambda run, epoch: loaded.append(epoch))
    # Ties go to the larger λ; the weights before the first epoch do not compete.
    assert _rival_heads.stop(path).chosen == "λ = 1e-2, epoch 2"
    assert loaded == [2]


def test_each_class_stops_at_its_own_epoch(tmp_path, monkeypatch, truth):
    # Class 2 has no val images; class 1 has two lowest epochs.
    lowest = {0: 3, 1: 1, 3: 2, 4: 2, 5: 3}
    rows = [
        {"split": split, "class": number, "epoch": epoch, "loss": loss}
        for split in ("val", "test")
        for number in range(K)
        for epoch, loss in ((0, 0.0), (1, 0.8), (2, 0.8), (3, 0.8))
    ]
    table = pd.DataFrame(rows)
    for number, epoch in lowest.items():
        here = (table["class"] == number) & (table["epoch"] == epoch) & (table["split"] == "val")
        table.loc[here, "loss"] = 0.3 + 0.5 * (number == 1)
    table.loc[(table["class"] == 2) & (table["split"] == "val"), "loss"] = np.nan
    table.to_parquet(tmp_path / "classes.parquet")
    manifest = types.SimpleNamespace(check=lambda folder, name: folder / name, info={"epochs": 3})
    run = types.SimpleNamespace(folder=tmp_path, evaluated=manifest, trained=manifest)
    path = planted({"1e-3": truth}, truth, 10)
    path.runs["1e-3", 0] = run
    monkeypatch.setattr(
        _rival_heads, "load_head", lambda run, epoch: head(torch.full((K, D), epoch))
    )
    found = _rival_heads.stop_per_class(path)
    assert found.heads[0]["head.weight"][:, 0].tolist() == [3, 1, 3, 2, 2, 3]
    assert found.chosen == "λ = 1e-3, epochs 1 to 3"


# Classes of unequal size.


@torch.no_grad()
def test_logit_adjustment_undoes_the_shares_of_training(truth):
    """A head whose logits have log shares too much, beside labels drawn without them."""
    counts = torch.tensor([500, 200, 80, 30, 12, 5])
    shares = (counts / counts.sum()).double().log()
    skewed = {**truth, "head.bias": truth["head.bias"] + shares}
    path = planted({"1e-3": skewed}, truth, images=6000)
    found = _long_tail_heads.logit_adjustment(path, counts)
    assert found.chosen.startswith("λ = 1e-3, τ = 1, T = ")
    np.testing.assert_allclose(found.heads[0]["head.weight"], truth["head.weight"], rtol=0.1)
    apart = found.heads[0]["head.bias"] - truth["head.bias"]
    assert np.ptp(apart.numpy()) < 0.3
    even = _long_tail_heads.logit_adjustment(path, torch.full((K,), 60))
    assert even.chosen == f"λ = 1e-3, τ = 0, {_rival_heads.joint(path).chosen.split(', ')[1]}"


@torch.no_grad()
def test_tau_normalization_evens_the_norms(truth):
    norms = truth["head.weight"].norm(dim=1, keepdim=True)
    even = head(truth["head.weight"] / norms)
    stretched = head(even["head.weight"] * torch.logspace(-0.5, 0.5, K).double()[:, None], 1.0)
    path = planted({"1e-3": stretched}, even, images=6000)
    found = _long_tail_heads.tau_normalized(path)
    assert "τ = 1, " in found.chosen
    np.testing.assert_allclose(found.heads[0]["head.weight"], even["head.weight"], rtol=0.1)
    assert not found.heads[0]["head.bias"].any()


def test_the_worst_are_a_tenth_rounded_up():
    labels = np.repeat(np.arange(20), 5)
    losses = labels / 10 + np.tile([0, 0, 0, 0, 10.0], 20)
    assert _long_tail_heads.worst_classes(losses, labels, 25) == pytest.approx(1.85 + 2)
    assert _long_tail_heads.worst_images(losses, labels, 25) == pytest.approx(
        np.mean(range(10, 20)) / 10 + 10
    )


@torch.no_grad()
def test_a_lambda_for_the_worst_classes_is_not_that_for_all(truth):
    """At the second λ all images but those of one class are better off."""
    spoilt = {**truth, "head.bias": truth["head.bias"] - 8 * torch.eye(K)[0].double()}
    dull = head(0.02 * truth["head.weight"])
    path = planted({"1e-3": spoilt, "1e-2": dull}, truth)
    worst = _long_tail_heads.chosen_by(path, "worst-tenth", _long_tail_heads.worst_classes)
    assert (worst.chosen, worst.parameters) == ("λ = 1e-2", 1)
    mean = _long_tail_heads.chosen_by(path, "mean", lambda losses, *_: np.median(losses))
    assert mean.chosen == "λ = 1e-3"


def test_groups_are_those_of_the_field_or_thirds():
    field = long_tail.by_size(np.array([101, 100, 20, 19, 500]))
    assert field.tolist() == ["many", "medium", "medium", "few", "many"]
    thirds = long_tail.by_size(np.array([9, 8, 7, 7, 2, 1]))
    assert thirds.tolist() == ["many", "many", "medium", "medium", "few", "few"]
    assert set(long_tail.by_size(np.full(5, 30))) == {"all"}


# The judge.


def scored(difference, name="way", seeds=1, drift=0.0, val=True):
    """Return a classifier whose test loss differs from that of `one` by about this much."""
    labels = np.repeat(np.arange(10), 30)
    loss = np.random.default_rng(5).exponential(1, len(labels))
    by_seed = {}
    for seed in range(seeds):
        noise = 0.05 * np.random.default_rng(seed).standard_normal(len(labels))
        shift = difference + drift * seed
        by_seed[seed] = loss + (shift + noise - noise.mean() if difference else 0)
    right = {seed: np.ones(len(labels)) for seed in by_seed}
    judged = dict.fromkeys(by_seed, 0.5) if val else {}
    return _rival_tables.Scored(name, "λ = 1", 1, judged, by_seed, right)


def table(*rows):
    whole = _rival_tables.table(
        rows, np.repeat(np.arange(10), 30), 10, draws=200, level=0.95, seed=0, name="test"
    )
    return whole.set_index("rival")


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (-0.05, "beats one λ"),
        (0.05, "worse than one λ"),
        (1e-9, "not known to differ from one λ"),
        (0, "not known to differ from one λ"),
    ],
)
def test_the_verdict_follows_from_the_numbers(difference, verdict):
    lost = _rival_tables.Scored("lost", "λ = 1", 1, {}, {}, {})
    found = table(scored(0, "one"), scored(difference, val=False), lost)
    assert found.loc["way", "verdict"] == verdict
    assert found.loc["lost", "verdict"] == "no run stayed finite"
    assert found.loc["way", "loss_difference"] == pytest.approx(difference, abs=0.01)
    assert found.loc["one", "val_loss"] == 0.5
    # What has learned from val is not judged by it.
    assert found.loc[["way", "lost"], "val_loss"].isna().all()
    ends = ["loss_difference", "loss_low", "loss_classes_high", "p"]
    assert found.loc["one", ends].isna().all()


def test_what_a_solver_leaves_is_no_difference():
    """All images a little worse, as at an optimum that another start reached less closely."""
    one = scored(0, "one")
    near = dataclasses.replace(one, name="way", loss={0: one.loss[0] * (1 + 5e-6)})
    found = table(one, near).loc["way"]
    assert found["p"] < 1e-6
    assert found["verdict"] == "not known to differ from one λ"


def test_over_seeds_only_where_seeds_differ():
    several = table(scored(0, "one", seeds=3), scored(-0.05, seeds=3, drift=0.01)).loc["way"]
    assert several["seeds"] == 3
    assert several["loss_difference"] == pytest.approx(-0.04, abs=1e-6)
    assert several["seeds_low"] < several["loss_difference"] < several["seeds_high"]
    assert table(scored(0, "one", seeds=3), scored(0, seeds=3))["seeds_low"].isna().all()


def test_holm_grows_with_the_number_of_rivals():
    few, many = (
        table(scored(0, "one"), scored(-0.008), *(scored(1e-9, f"r{i}") for i in range(others)))
        for others in (0, 9)
    )
    assert many.loc["way", "p"] == pytest.approx(10 * few.loc["way", "p"], rel=0.2)


def test_intervals_over_classes_are_those_of_a_bootstrap_of_classes():
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 60, 40)
    labels = np.repeat(np.arange(40), counts)
    apart = rng.normal(0.1, 0.3, 40)[labels] + rng.normal(0, 0.5, len(labels))
    values = np.array([np.zeros(len(labels)), apart])
    found = compared.over_classes(by_class(values, labels, 41))
    assert found.estimate[1] == pytest.approx(apart.mean())
    assert found.estimate[0] == found.low[0] == found.high[0] == 0
    sums = np.bincount(labels, weights=apart)
    draws = rng.integers(0, 40, (4000, 40))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    assert (found.high[1] - found.low[1]) / 2 == pytest.approx(2.02 * means.std(), rel=0.08)
    single = compared.over_classes(by_class(values[:, labels == 0], labels[labels == 0], 3))
    assert np.isnan(single.low).all()


# A whole study.


def test_a_study_has_its_rivals(chained):
    """The tiny study: one epoch, two λ; the table's first row is what the tables say of one λ."""
    root = chained[-3]
    runs = [
        {key: run[key] for key in ("model", "optimizer", "weight_decay", "seed")}
        for run in chain.RUNS
    ]
    recipe = {"runs": runs, "ways": [], "class_decay_runs": [], "baseline": False}
    recipe |= {"options": {"draws": 100}, "data": recipes.plain(chain.FEATURES)}
    asked = job("analyse", {"study": "s", "maker": "rivals"}, recipe, root)
    found = rivals.analyse(asked, rivals.Options(draws=100))["rivals"]
    assert list(found["rival"]) == ["one", "temperature", "bias", "joint", "mix"]
    best = pd.read_csv(root / paths.TABLES.format(study="s") / "best-lambda.csv", dtype=str).iloc[0]
    one = found.iloc[0]
    assert one["best"] == best["weight_decay"]
    assert one["loss"] == pytest.approx(float(best["test_loss"]), rel=1e-6)
    assert one["val_loss"] == pytest.approx(float(best["val_loss"]), rel=1e-6)
    assert one["accuracy"] == pytest.approx(float(best["test_accuracy"]))
    # What was fitted to val fits it no worse.
    assert (found["val_loss"][[1, 3]] <= one["val_loss"] + 1e-9).all()
    assert {*asked.inputs} >= {
        paths.split_manifest(chain.FEATURES, split) for split in rivals.SPLITS
    }
    # Beside other rivals, and by size of class, the same heads have the same scores.
    whole = long_tail.analyse(asked, long_tail.Options(draws=100))["long-tail"]
    every = whole[whole["group"] == "all"].set_index("rival")
    for measure in ("loss", "accuracy", "tenth", "val_loss"):
        np.testing.assert_allclose(
            every.loc[found["rival"], measure], found[measure], rtol=1e-12, equal_nan=True
        )
    assert list(every.index[5:]) == ["logit-adjustment", "tau-normalized", "worst-tenth", "cvar"]
    labels = np.load(root / "resources/datasets" / chain.FEATURES.dataset / "train/labels.npy")
    counts = np.bincount(labels)
    assert set(every["fewest"]) == {counts.min()}
    assert set(every["most"]) == {counts.max()}
