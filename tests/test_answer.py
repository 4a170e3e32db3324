"""The figure `answer`: its colours are chosen on val, its titles say no more than the tests do."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from cobaye.figures import _forest, _own_gains, _own_lambda
from tests.drawing import drawn
from tests.figure_tables import study

LAMBDAS = ("0", "1e-4", "1e-3", "1e-2")


@pytest.fixture(scope="module")
def tables():
    return study(LAMBDAS, classes=50, epochs=1)


def with_tests(tables, **changed):
    return {**tables, "class-tests": tables["class-tests"].assign(**changed)}


def test_each_class_has_the_colour_of_its_own_lambda_from_val(tables):
    """Each line is what was seen on test; its group says where val put the class's own λ."""
    ax = drawn("answer", tables).axes[0]
    gains, best = tables["class-gains"], float(tables["class-tests"]["best"].iloc[0])
    seen = tables["shrunk-curves"].query("split == 'test'")
    groups = [each for each in ax.collections if isinstance(each, LineCollection)]
    for (_, colour, _), group, side in zip(_own_lambda.GROUPS, groups, (-1, 0, 1), strict=True):
        own = gains.loc[np.sign(gains["shrunk"].astype(float) - best) == side, "class"]
        expected = [
            seen[seen["class"] == one].set_index("weight_decay").loc[list(LAMBDAS), "seen"]
            for one in own
        ]
        shown = [segment[:, 1] for segment in group.get_segments()]
        assert np.array(shown).tolist() == np.array(expected).tolist()
        if len(own):
            assert to_rgb(group.get_color()[0]) == to_rgb(colour)
    assert sum(len(group.get_segments()) for group in groups) == 50


def test_bars_are_observed_and_marks_are_noise(tables):
    ax = drawn("answer", tables).axes[1]
    null = tables["null-best-lambda"].query("split == 'test'").set_index("weight_decay")
    rows = null.loc[list(LAMBDAS)]
    assert [bar.get_height() for bar in ax.patches] == rows["observed"].tolist()
    marks = [line.get_ydata().tolist() for line in ax.lines]
    assert marks == [rows["expected"].tolist(), rows["shape_expected"].tolist()]


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        (10, "b   own λ differ by more than noise"),
        (20, "b   own λ: noise and amplitude"),
        (30, "b   own λ: no more than noise"),
    ],
)
def test_titles_follow_the_tests(tables, observed, said):
    best = tables["class-tests"]["best"].iloc[0]
    null = tables["null-best-lambda"].copy()
    null.loc[null["weight_decay"] == best, ["observed", "shape_low", "low"]] = (observed, 15, 25)
    for p, unequal in ((0.05, "λ acts unequally on classes"), (0.06, "no unequal effect is known")):
        changed = with_tests({**tables, "null-best-lambda": null}, p_between=p, level=0.95)
        titles = [ax.get_title(loc="left") for ax in drawn("answer", changed).axes]
        assert titles[:2] == [f"a   {unequal}", said]


def test_ways_that_were_trained_stand_for_those_read_off(tables):
    alone = {name: table for name, table in tables.items() if name != "rivals"}
    names = [text.get_text() for text in drawn("answer", alone).axes[2].get_yticklabels()]
    assert sorted(names) == [
        "λ per class: lowest on val, read off",
        "λ per class: shrunk, read off",
    ]
    both = [text.get_text() for text in drawn("answer", tables).axes[2].get_yticklabels()]
    trained = set(_forest.judged(tables["rivals"])["rival"])
    for way in ("val", "shrunk"):
        assert any("read off" in name and way in name for name in both) is (way not in trained)


def test_gains_are_drawn_as_changes_of_loss(tables):
    alone = {name: table for name, table in tables.items() if name != "rivals"}
    rows = _own_gains.rows(tables["compromise"]).set_index("way")
    gains = tables["compromise"].set_index(["choice", "measure", "resampled"])
    for choice, way in _own_gains._WAYS.items():
        images = gains.loc[choice, "loss", "val and test"]
        assert rows.loc[way, "loss_difference"] == -images["gain"]
        assert (rows.loc[way, "loss_low"], rows.loc[way, "loss_high"]) == (
            -images["high"],
            -images["low"],
        )
    assert drawn("answer", alone)


def test_the_end_of_the_grid_is_named_below_the_axis(tables):
    best, largest = tables["class-tests"]["best"].iloc[0], LAMBDAS[-1]
    inner = tables["class-gains"].assign(shrunk=best)
    outer = inner.assign(shrunk=[largest] * len(inner))
    for gains, said in (
        (inner, ""),
        (outer, f"\nλ = {largest} ends the grid:\na larger one may be better"),
    ):
        ax = drawn("answer", {**tables, "class-gains": gains}).axes[1]
        assert ax.get_xlabel() == f"weight decay λ{said}"
