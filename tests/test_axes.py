"""Over any axis: what is planted is found, λ's tables stay as they are, a wrong axis is refused."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import analyses, kinds, recipes
from cobaye.analyses import _axes, _sweeps, classes, how_many
from cobaye.data import splits
from cobaye.errors import ConfigError
from cobaye.planning import needs, targets
from cobaye.planning.plan import Plan
from cobaye.recipes import axes
from cobaye.storage import finished_runs, table_names
from cobaye.tables import reading, writing
from tests import chain
from tests.conftest import ROOT, edit, load
from tests.drawing import drawn, texts
from tests.jobs import job
from tests.test_analyses import OPTIONS, analysed, sweep

STUDY = "studies/tiny.yaml"
SCRIPTS = ROOT / "workflow/scripts"
EPOCHS = ["1", "10", "60"]


def over_epochs(effect, **more):
    """Return runs of one λ at three epochs, as `_axes` reads them off their checkpoints."""
    return dataclasses.replace(sweep(effect, labels=EPOCHS, **more), axis="epoch", at="1e-4")


def two_kinds():
    """Even ones of 20 classes are best at epoch 1, odd ones at epoch 60; the mean is level."""
    return np.outer(np.where(np.arange(20) % 2, 1, -1), [0.5, 0, -0.5])


# Planted truth.


def test_classes_with_two_best_epochs_are_told_apart():
    made = analysed(over_epochs(two_kinds(), seeds=2))
    own = made["class-gains"]["shrunk"].astype(int)
    assert own.tolist() == [1, 60] * 10
    assert made["class-tests"]["p_between"][0] < 0.05
    gain = made["compromise"].query("choice == 'shrunk' and resampled == 'val and test'")
    assert (gain["low"] > 0.2).all()
    for name, table in made.items():
        assert "weight_decay" not in table, name
        assert list(table.columns[:2]) == ["model", "optimizer"], name
        assert set(table["at"]) <= {"1e-4"}, name


def test_two_groups_of_epochs_are_enough_for_two_kinds():
    of = over_epochs(two_kinds(), images=20)
    names = [f"c{number}" for number in range(20)]
    options = how_many.Options(draws=100, halvings=1)
    made = how_many.tables([of], names, options, {})
    rows = made["how-many"].query("grouping == 'curves'").set_index("groups")
    assert rows.loc[2, "gain_low"] > 0.2
    assert rows.loc[2, "short_low"] < 0.02
    two = made["grouped-lambda"].query("grouping == 'curves' and groups == 2")
    assert set(two["epoch"]) == {"1", "60"}


def test_what_one_training_chose_is_judged_in_another():
    """A true optimum is one in each training; the swings of one training are of that one alone."""

    def gains(of):
        rows = analysed(of)["compromise"].query("choice == 'shrunk' and measure == 'loss'")
        return rows.set_index("resampled")

    true = gains(over_epochs(two_kinds(), seeds=2))
    assert true.loc["other seeds", "low"] > 0.3
    swinging = over_epochs(np.zeros((20, 3)), seeds=2, images=30)
    swings = np.random.default_rng(3).normal(0, 0.4, (2, 3, 20))
    for name, each in swinging.splits.items():
        moved = each.loss + swings[:, :, each.labels].astype(np.float32)
        swinging.splits[name] = dataclasses.replace(each, loss=moved)
    found = gains(swinging)
    assert found.loc["seeds", "gain"] > 0.2
    assert found.loc["other seeds", "low"] < 0 < found.loc["other seeds", "high"]
    assert "other seeds" not in gains(sweep(two_kinds(), seeds=2)).index


def test_no_difference_is_known_where_none_was_planted():
    made = analysed(over_epochs(np.zeros((20, 3)), noise=0.5))
    assert made["class-tests"]["p_between"][0] > 0.05
    assert (made["helped-harmed"]["surely"] == "neither").all()


# One way for all axes.


def test_tables_over_another_axis_are_those_of_lambda_with_its_name(tmp_path):
    """Byte for byte, from the same losses; draws are of the group and the purpose alone."""
    effect = np.random.default_rng(1).normal(0, 0.2, (8, 3))
    one = analysed(sweep(effect, labels=EPOCHS))
    other = analysed(over_epochs(effect))
    for name, table in one.items():
        assert "at" not in table, name
        renamed = other[name].drop(columns="at").rename(columns={"epoch": "weight_decay"})
        pair = [tmp_path / f"{number}.csv" for number in range(2)]
        for path, each in zip(pair, (table, renamed), strict=True):
            writing.write_csv(path, each)
        assert pair[0].read_bytes() == pair[1].read_bytes(), name


def test_names_over_an_axis_come_from_those_of_lambda():
    assert (
        kinds.over("class-effects.csv", "learning_rate") == "class-effects-over-learning-rate.csv"
    )
    for axis in ("epoch", "learning_rate"):
        name = kinds.over("classes", axis)
        assert (kinds.without_axis(name), kinds.axis(name)) == ("classes", axis)
        tables = table_names.made_by(name)
        expected = {kinds.over(t, axis): kinds.over(f, axis) for t, f in classes.TABLES.items()}
        assert tables == expected
        assert kinds.load("analyses", name) is classes
    assert kinds.axis("classes") is None
    assert table_names.made_by("classes") == classes.TABLES


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    made = analysed(over_epochs(two_kinds()))["class-gains"]
    path = tmp_path / "class-gains-over-epoch.csv"
    writing.write_csv(path, made)
    pd.testing.assert_frame_equal(reading.read_file(path), made, check_dtype=False)
    effects = analysed(over_epochs(two_kinds()))["class-effects"]
    writing.write_csv(path := tmp_path / "class-effects-over-epoch.csv", effects)
    assert set(reading.read_file(path)["epoch"]) == set(EPOCHS)


def test_the_answer_over_epochs_names_its_axis():
    made = analysed(over_epochs(two_kinds()))
    tables = {kinds.over(name, "epoch"): table for name, table in made.items()}
    fig = drawn("answer-over-epoch", tables)
    assert [ax.get_xlabel().partition("\n")[0] for ax in fig.axes[:2]] == [
        "epoch at which training stops"
    ] * 2
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert titles[0] == "a   epoch acts unequally on classes"
    assert titles[1] == "b   own epochs: beyond image noise"
    assert "m · o · λ = 1e-4" in texts(fig)
    assert not [said for said in texts(fig) if "λ" in said and "1e-4" not in said]


# Epochs.


def test_epochs_are_spread_in_equal_ratios_from_the_first_to_the_last():
    found = _axes.spread(list(range(1, 91)))
    assert (found[0], found[-1]) == (1, 90)
    assert found == sorted(set(found))
    assert 9 <= len(found) <= 12
    assert _axes.spread([2, 4, 6]) == [2, 4, 6]
    assert _axes.spread([5]) == [5]


def test_a_checkpoint_is_scored_as_the_evaluation_scores_it(chained):
    """At the last epoch the losses are those of predictions.parquet, bit for bit."""
    root, run = chained[-2], chain.RUNS[0]
    read = job("analyse", {"study": "s", "maker": "classes"}, {}, root, expected=chain.expected())
    done = finished_runs.finished(read, run)
    loaded = splits.load_for(read, chain.FEATURES, ("train", "val", "test"))
    found = _axes.at_epochs({0: done}, [1], loaded, "cpu")["1", 0]
    known = _sweeps.read_predictions(done.folder / "predictions.parquet")
    for split, columns in known.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(found[split][name], values)
            assert found[split][name].dtype == values.dtype
    before = _axes.at_epochs({0: done}, [0], loaded, "cpu")["0", 0]
    assert not np.array_equal(before["val"]["loss"], found["val"]["loss"])


def test_lambda_is_read_as_ever(chained):
    recipe = {"runs": [{key: run[key] for key in reading.KEYS} for run in chain.RUNS]}
    identity = {"study": "s", "maker": "classes"}
    read = job("analyse", identity, recipe, chained[-2], expected=chain.expected())
    (found,), (known,) = _axes.sweeps(read, ()), _sweeps.sweeps(read)
    assert (found.axis, found.at, found.labels) == ("weight_decay", "", list(chain.LABELS))
    torch.testing.assert_close(found.splits["test"].loss, known.splits["test"].loss, rtol=0, atol=0)


# Learning rates.


def test_optimizers_that_differ_in_the_learning_rate_alone_are_one_family():
    def at(rate, **changes):
        return dataclasses.replace(chain.OPTIMIZER, learning_rate=rate, **changes)

    optimizers = {"b": at(1.0), "a": at(0.03162), "long": at(0.1, epochs=2), "l1": at(0.5, l1=0.1)}
    optimizers |= {"longer": at(1e-7, epochs=2), "exact": at(None)}
    assert axes.families(optimizers, "learning_rate") == [
        {"0.03162": "a", "1": "b"},
        {"1e-07": "longer", "0.1": "long"},
    ]
    assert axes.families(optimizers, "augmentation") == []


def test_optimizers_that_differ_in_one_number_of_one_augmentation_are_one_family():
    def by(*steps, **changes):
        steps = tuple(recipes.Kind(*step) for step in steps)
        return dataclasses.replace(chain.OPTIMIZER, augment=steps, **changes)

    def crop(scale):
        return "resized-crop", {"scale": scale}

    def zoom(low, high, fill="zero"):
        return "zoom", {"low": low, "high": high, "fill": fill}

    optimizers = {"half": by(crop(0.5)), "none": by(), "whole": by(crop(1.0))}
    optimizers |= {"fast": by(crop(0.1), learning_rate=9.0), "both": by(crop(0.1), zoom(0.9, 1.1))}
    optimizers |= {"wide": by(crop(0.1), zoom(0.5, 1.1)), "edge": by(zoom(0.9, 1.1, "edge"))}
    for axis in ("augmentation", "plane"):
        assert axes.families(optimizers, axis) == [
            {"0.5": "half", "1": "whole"},
            {"0.5": "wide", "0.9": "both"},
        ]


def test_learning_rates_are_compared_at_the_lambda_of_the_best_run():
    """The best run has the rate 0.1 and λ = 1e-2; the other rate is read at this λ."""
    low = sweep(np.tile([0.3, 0.2, 0.1], (4, 1)), noise=0.01, group=("m", "slow"))
    high = sweep(np.tile([0.2, 0.1, 0.0], (4, 1)), noise=0.01, group=("m", "fast"))
    found = _axes.along("learning_rate", ("m", "slow … fast"), {"0.01": low, "0.1": high})
    assert (found.axis, found.at, found.labels) == ("learning_rate", "1e-2", ["0.01", "0.1"])
    for place, each in enumerate((low, high)):
        np.testing.assert_array_equal(
            found.splits["test"].loss[:, place], each.splits["test"].loss[:, 2]
        )


# The plane of an augmentation's strength and λ.

STRENGTHS, DECAYS = ("0.5", "1"), ("0", "1e-3", "1e-2")


def in_the_plane():
    """Even ones of 20 classes are best at (0.5, 1e-2), odd ones at (1, 0); the mean is level."""
    sign = np.where(np.arange(20) % 2, 1, -1)
    members = {}
    for place, strength in enumerate(STRENGTHS):
        effect = np.outer(sign, 0.25 * (np.array([-1, 0, 1]) - 2 * place + 1))
        members[strength] = sweep(effect, labels=DECAYS, seeds=2, noise=0.05, group=("m", strength))
    return _axes.along("plane", ("m", "crop0.5 … crop1"), members)


def test_a_plane_has_every_pair_and_no_lambda_of_all():
    found = in_the_plane()
    assert (found.axis, found.at) == ("plane", "")
    assert found.labels == [axes.pair(one, other) for one in STRENGTHS for other in DECAYS]
    alone = _axes.along("plane", ("m", "o"), {"1": sweep(np.zeros((4, 3)), labels=DECAYS)})
    np.testing.assert_array_equal(
        alone.splits["test"].loss, sweep(np.zeros((4, 3)), labels=DECAYS).splits["test"].loss
    )


def test_each_class_has_its_own_pair_and_the_figure_says_so():
    made = analysed(in_the_plane())
    own = made["class-gains"]["shrunk"].tolist()
    assert own == ["0.5, 1e-2", "1, 0"] * 10
    gain = made["compromise"].query("choice == 'shrunk'").set_index("resampled")
    assert (gain.loc[["val and test", "other seeds"], "low"] > 0.3).all()
    tables = {kinds.over(name, "plane"): table for name, table in made.items()}
    fig = drawn("plane", tables)
    said = texts(fig)
    assert [each.partition("\n")[0] for each in said if "(" in each and "\n" in each] == [
        "0", "0", "10", "10", "0", "0",
    ]  # fmt: skip
    frames = [patch.get_xy() for ax in fig.axes[:2] for patch in ax.patches if not patch.get_fill()]
    best = axes.parts(made["class-tests"]["best"][0])
    place = STRENGTHS.index(best[0]) - 0.5, DECAYS.index(best[1]) - 0.5
    assert frames == [place, place]
    assert "pair per class: shrunk, in another training" in said


# The config.


def with_analyses(folder, said):
    edit(folder, STUDY, "models:", f"analyses: {said}\nmodels:")
    return folder


def test_each_axis_is_a_job_of_its_own_and_lambda_is_told_what_it_was(folder):
    before = Plan(load(folder), SCRIPTS).stage("analyse", study="tiny", maker="classes")
    with_analyses(folder, "{classes: {over: [weight_decay, epoch], epochs: [1, 3, 4]}}")
    plan = Plan(load(folder), SCRIPTS)
    assert plan.stage("analyse", study="tiny", maker="classes").recipe == before.recipe
    stage = plan.stage("analyse", study="tiny", maker="classes-over-epoch")
    assert stage.recipe["options"] == before.recipe["options"] | {"epochs": [1, 3, 4]}
    assert stage.recipe["tables"] == ["best-lambda"]
    assert ("networks", "linear") in stage.uses
    files = targets.of_study(plan.config, "tiny")
    assert "results/tiny/tables/class-effects-over-epoch.csv" in files
    assert "results/tiny/tables/class-effects.csv" in files
    assert "results/tiny/figures/answer-over-epoch.svg" in files
    asked = needs.analyse(plan.config, "tiny", "classes-over-epoch")
    more = needs.analyse(plan.config, "tiny", "classes")
    assert asked.megabytes > 0
    assert asked.minutes >= more.minutes


@pytest.mark.parametrize(
    ("changes", "asked", "said"),
    [
        ((), "learning_rate", "learning_rate: no two of the optimizers sgd differ in their"),
        ((("dataset:", "keep: last\ndataset:"),), "epoch", "epoch: each run keeps the checkpoint"),
        ((("epochs: 4", "epochs: 1"),), "epoch", "epoch: each run keeps the checkpoint"),
        ((), "epoch], epochs: [2, 7", "epochs: [7]: optimizers.sgd keeps no such checkpoint"),
        ((), "epoch], epochs: [2, 2", "epochs: [2, 2]: expected two or more epochs, each once"),
        ((), "", "over: []: expected one or more axes, once"),
        ((), "epoch, epoch", "over: ['epoch', 'epoch']: expected one or more axes, once"),
        ((), "augmentation", "augmentation: no two of the optimizers sgd differ in a number in"),
        ((), "plane", "plane: no two of the optimizers sgd differ in a number in"),
        ((), "momentum", "analyses.classes.over"),
    ],
)
def test_an_axis_that_the_study_does_not_vary_gets_one_clear_error(folder, changes, asked, said):
    for old, new in changes:
        edit(folder, STUDY, old, new)
    with_analyses(folder, f"{{classes: {{over: [{asked}]}}}}")
    with pytest.raises(ConfigError, match=re.escape(said)) as refused:
        load(folder)
    assert str(folder / STUDY) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_name_with_an_axis_is_no_analysis_to_ask_for(folder):
    with pytest.raises(ConfigError, match="no analysis 'classes-over-epoch'"):
        load(with_analyses(folder, "[classes-over-epoch]"))


def test_an_analysis_over_learning_rates_is_told_which_optimizers_they_are_of(folder):
    text = (folder / STUDY).read_text()
    recipe = text[text.index("    algorithm") : text.index("weight_decays")]
    fast = "  fast:\n" + recipe.replace("learning_rate: 0.1", "learning_rate: 1.0")
    edit(folder, STUDY, "weight_decays", f"{fast}weight_decays")
    plan = Plan(load(with_analyses(folder, "{classes: {over: [learning_rate]}}")), SCRIPTS)
    stage = plan.stage("analyse", study="tiny", maker="classes-over-learning-rate")
    assert stage.recipe["families"] == [{"0.1": "sgd", "1": "fast"}]
    assert "classes" not in plan.config.studies["tiny"].analyses


def test_the_tables_of_an_axis_are_written_under_its_names(chained, tmp_path):
    """A whole job over epochs; the chain's one epoch gives no sweep, so the tables are empty."""
    root = chain.clone(chained[-2], tmp_path / "root")
    recipe = {
        "options": recipes.plain(OPTIONS),
        "data": recipes.plain(chain.FEATURES),
        "runs": [{key: run[key] for key in reading.KEYS} for run in chain.RUNS],
        "tables": ["best-lambda"],
    }
    identity = {"study": "s", "maker": "classes-over-epoch"}
    analyses.analyse(job("analyse", identity, recipe, root, expected=chain.expected()))
    folder = root / "results/s/tables"
    for file in table_names.made_by("classes-over-epoch").values():
        assert (folder / file).is_file(), file
    assert not (folder / "class-effects.csv").exists()
