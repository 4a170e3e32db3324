"""Every figure draws every study, the same bytes from the same tables, and shows their numbers."""

import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from cobaye import kinds
from cobaye.errors import ConfigError
from cobaye.figures import (
    _class_losses,
    _epoch_curves,
    _lambda_axis,
    _panels,
    _style,
    best_lambda,
    class_gain,
    confusion,
    helped_harmed,
    measures,
    three_classes,
)
from cobaye.storage import table_names
from cobaye.tables import reading, rival_names, writing
from tests.drawing import FIGURES, drawn, lines, parts, render, sketched, svg, texts, written
from tests.figure_tables import LAMBDAS, everything, study

REPORT = kinds.ROOT.parent / "report"
KINDS = kinds.names("figures")
# Not by the names of their kinds.
IN_EVERY_FORMAT = ("class-loss-test", "confusion-zoom")
ONE = {"families": ("sgd",), "levels": 1, "layers": 1, "classes": 2, "epochs": 1}
FEW_RUNS = {
    "zero-only": {**ONE, "lambdas": ("0",), "classes": 3},
    "all-diverged": {"diverged": ("0", "2e-3")},
}
# Families of optimizers, seeds, a λ that diverged.
MANY_RUNS = {"families": ("sgd", "wd", "layca"), "levels": 1, "seeds": 2, "diverged": ("0",)}


def names(kind):
    """Return the figures of a kind."""
    return kinds.constant("figures", kind, "NAMES")


def test_the_made_tables_are_all_there_are():
    without_a_figure = {"classes-while-training", "ambiguity", "ambiguity-classes"}
    assert set(everything()) == set(table_names.makers()) - without_a_figure


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What `digests` returns in a process of another hash seed, with a matplotlibrc of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "matplotlibrc").write_text("axes.facecolor: red\nsvg.fonttype: none\n")
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import test_figures as t\n"
        "print(json.dumps(t.digests()))"
    )
    own = {"PYTHONHASHSEED": "1", "MATPLOTLIBRC": str(folder)}
    other = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        env=os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(other.stdout)


def digests():
    """Return figure → format → sha256: of every kind the SVG, of two figures every format."""
    tables, every = study(("0", "1e-4"), 3, 2), everything(levels=1)
    made = {name: render(name, tables) for name in IN_EVERY_FORMAT}
    made |= {kind: {"svg": svg(next(iter(names(kind))), every)} for kind in reversed(KINDS)}
    return {name: {key: sha256(data) for key, data in each.items()} for name, each in made.items()}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tables_give_the_same_bytes(kind, elsewhere):
    """Neither the hash seed, the time, the figures before, nor a matplotlibrc changes a byte."""
    made = svg(next(iter(names(kind))), everything(levels=1))
    assert sha256(made) == elsewhere[kind]["svg"]
    assert ElementTree.fromstring(made).tag.endswith("svg")


@pytest.mark.parametrize("name", IN_EVERY_FORMAT)
def test_the_same_tables_give_the_same_bytes_in_three_formats(name, elsewhere):
    made = render(name, study(("0", "1e-4"), 3, 2))
    assert {key: sha256(data) for key, data in made.items()} == elsewhere[name]
    assert made["pdf"].startswith(b"%PDF")
    assert made["png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", FEW_RUNS)
def test_every_kind_draws_studies_of_few_runs(kind, case):
    assert written(next(iter(names(kind))), everything(**FEW_RUNS[case]))


@pytest.mark.parametrize("figure", FIGURES)
def test_every_axis_says_what_it_shows(figure):
    """By its title, one for all panels of a row or column, or by words in the place of numbers."""
    # The first figure of a kind is laid out too; the same code lays out the others.
    of_kind = names(FIGURES[figure])
    look = sketched if figure == next(iter(of_kind)) else parts
    figure = look(figure, everything(**MANY_RUNS))
    panels = [ax for ax in figure.axes if ax.axison and ax.get_subplotspec()]
    for name, common in (("x", figure.get_supxlabel()), ("y", figure.get_supylabel())):
        span = {"x": "colspan", "y": "rowspan"}[name]
        said = {}
        for ax in panels:
            axis = getattr(ax, f"{name}axis")
            words = [text.get_text() for text in axis.get_majorticklabels()]
            named = any(char.isalpha() for word in words for char in word)
            place = getattr(ax.get_subplotspec(), span).start
            said[place] = said.get(place) or common or axis.get_label_text() or named
        assert all(said.values()), (name, said)


@pytest.mark.parametrize("figure", FIGURES)
def test_empty_tables_draw(figure):
    tables = {name: table.iloc[:0] for name, table in everything(**ONE, lambdas=("1e-4",)).items()}
    assert "nothing to show" in written(figure, tables)


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_has_a_caption(figure):
    assert (REPORT / f"{figure}.rst").read_text().strip()


def test_tables_are_read_as_they_were_written(tmp_path):
    """A λ that looks like a number is text when it is read, and a number is none."""
    for name, table in everything().items():
        path = tmp_path / table_names.file(name)
        writing.write(path, table)
        found = reading.read_file(path)
        for column in set(table) - {"weight_decay"}:  # text, whatever it was
            numbers = [pd.api.types.is_numeric_dtype(each[column]) for each in (table, found)]
            assert numbers[0] == numbers[1] or table[column].isna().all(), (name, column)


HOSTILE = (
    "<script>alert(1)</script>",
    r"$\frac{1}{0}$",
    "two\nlines\x1b[31m",
    "_x",
    "",
    "日本",
    "]]>&",
    "𝔸 Ω щ ձ ب é \u202e\ufffe",
)


def test_hostile_class_names_are_only_text():
    tables = study(("0", "1e-4", "1e-2"), classes=len(HOSTILE), epochs=1, names=HOSTILE)
    for figure in ("three-classes", "confusion", "confusion-zoom"):
        svg = render(figure, tables)["svg"].decode()
        assert "<script" not in svg
        assert "\x1b" not in svg
        ElementTree.fromstring(svg)
    shown = texts(drawn("confusion", tables))
    assert {"$\\frac{1}{0}$", "two lines[31m", "_x", "#4", "#5", "]]>&", "𝔸 Ω щ ձ ب é"} <= set(
        shown
    )


def test_class_names_in_other_scripts_stay():
    for name in ("Ω ομέγα", "щука", "𝔸", "Ǣ", "ձ"):
        assert _style.class_name(name, 0) == name
    assert _style.class_name("a\ud800\u202eb", 0) == "ab"
    assert _style.class_name("x" * 80, 0) == "x" * 31 + "…"


@pytest.mark.parametrize("figure", ["class-loss-test", "three-classes"])
def test_zero_has_its_tick_left_of_the_others(figure):
    ax = drawn(figure, study(classes=5, epochs=1)).axes[0]
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", *(label for label in LAMBDAS[1:] if label in labels)]
    assert len(labels) > 3
    assert list(ax.get_xticks()) == sorted(ax.get_xticks())


def test_zero_among_few_lambdas():
    axis = _lambda_axis.LambdaAxis(("0", "3e-4"))
    assert axis.place("0") < axis.place("3e-4") == axis.place("0.0003")
    assert axis.place("1e-2") is None
    assert axis.place("nan") is None


def test_ties_go_to_the_larger_lambda():
    losses = pd.DataFrame([[1.0, 1.0, 2.0], [3.0, np.nan, 2.0], [np.nan] * 3], columns=[*"123"])
    assert _class_losses.lowest(losses).to_dict() == {0: "2", 1: "3"}
    assert _class_losses.counts(losses).tolist() == [0, 1, 1]


def test_lambdas_are_ordered_as_numbers_and_derived_runs_left_out():
    assert _lambda_axis.order(["1e-3", "0", "per-class-val", "3.162e-4"]) == [
        "0",
        "3.162e-4",
        "1e-3",
    ]


def test_three_classes_are_chosen_among_those_that_pay_most():
    """Of 40 classes, 5 to 8 pay most; classes 0 and 1 have extreme λ of their own but pay less."""
    table = pd.DataFrame({"class": range(40), "weight_decay": "1e-3", "paid": 0.0})
    table.loc[[0, 1], "weight_decay"] = ["0", "1e-1"]
    table.loc[[5, 6, 7, 8], "paid"] = [1.0, 2.0, 3.0, 4.0]
    table.loc[[5, 6, 7, 8], "weight_decay"] = ["1e-4", "1e-2", "1e-4", "1e-6"]
    assert three_classes.choose(table) == [8, 7, 6]
    assert three_classes.choose(table.head(2)) == [0, 1]
    assert three_classes.choose(table.head(0)) == []


def test_three_classes_by_name():
    tables = study(("0", "1e-4"), classes=6, epochs=1)
    with _style.house():
        figure = three_classes.draw(tables, three_classes.Options(classes=("class 4", "2")))
        legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert [text.split(",")[0] for text in legend[:2]] == ["“class 4”", "“class 2”"]
        with pytest.raises(ConfigError, match="did you mean 'class 4'"):
            three_classes.draw(tables, three_classes.Options(classes=("clas 4",)))


def test_a_diverged_run_is_marked_and_does_not_stretch_the_axis():
    figure = drawn("train-curves", study(diverged=("0",)))
    assert "diverged" in texts(figure)
    assert figure.axes[1].get_ylim()[1] < 10
    crosses = [line for line in figure.axes[1].lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [2]


def test_a_diverged_seed_leaves_the_mean_to_the_others():
    nan = np.nan
    values = pd.DataFrame({0: [nan, 4.0, 2.0], 1: [nan, 9e9, nan], 2: [nan, 6.0, 4.0]})
    one = _epoch_curves.curve(values, bad={1})
    assert one.epochs.tolist() == [1, 2]
    assert one.mean.tolist() == [5, 3]
    assert (one.low.tolist(), one.high.tolist()) == ([4, 2], [6, 4])
    assert one.ends == [(1, 9e9)]
    never = _epoch_curves.curve(pd.DataFrame({0: [nan, np.inf]}), bad={0})
    assert never.ends == [(1, np.inf)]
    assert not never.whole


def test_numbers_of_small_matrices_are_no_wider_than_their_cells():
    groups = tuple((f"m{number}", "sgd") for number in range(6))
    figure = drawn("confusion", study(("1e-4",), 10, 1, groups=groups))
    for ax in figure.axes[:6]:
        cell = ax.get_window_extent().width / 10
        assert ax.texts
        for text in ax.texts:
            assert text.get_window_extent().width <= 1.1 * cell, text.get_text()


def test_many_rows_are_lower_so_that_they_fit_a_page():
    heights = [_panels.grid(rows, 1, 2.3, legend=0.5)[0].get_figheight() for rows in (1, 4, 5, 20)]
    plt.close("all")
    np.testing.assert_allclose(heights, [2.8, 9.7, 10, 20 * 0.7 * 2.3 + 0.5])


@pytest.mark.parametrize("log", [False, True])
def test_early_epochs_and_ends_beyond_the_axis_leave_it(log):
    """A curve along the edge of its panel would look like a constant."""
    values = pd.DataFrame({0: [1e29, 50.0, *[2.0, 1.0] * 9]})
    one = _epoch_curves.curve(values, bad=set())
    _, ax = plt.subplots()
    bottom, top = _epoch_curves.limits([one], log)
    _epoch_curves.frame(ax, _epoch_curves.Quantity("loss", "loss", log=log), bottom, top)
    _epoch_curves.plot(ax, one, {"color": _style.INK})
    first, second, *others = ax.lines[0].get_ydata()
    assert first > second == 50 > top > max(others)
    ax.figure.draw_without_rendering()  # warns where numbers overflow


def test_the_answer_names_the_groups_of_classes_that_it_draws():
    tables = dict(study(LAMBDAS, classes=50, epochs=1))
    gains = tables["class-gains"]
    best = tables["class-tests"]["best"].iloc[0]
    for own, named in ((best, ["at"]), (["0", best] * 25, ["below", "at"])):
        changed = tables | {"class-gains": gains.assign(shrunk=own)}
        legend = texts(drawn("answer", changed).legends[0])
        assert [text for text in legend if "own λ" in text] == [
            f"own λ {name} the best" for name in named
        ]


def test_confusion_rates_are_of_all_images_of_the_true_class():
    table = pd.DataFrame({"label": [0, 0, 1, 3], "predicted": [0, 3, 1, 0], "n": [6, 2, 5, 1]})
    matrix = confusion.rates(table, range(0, 3))
    np.testing.assert_array_equal(matrix[:2], [[0.75, 0, 0], [0, 1, 0]])
    assert np.isnan(matrix[2]).all()


def test_confusion_at_a_lambda_of_choice_is_of_its_runs():
    tables = dict(study(("0", "1e-4"), classes=6, epochs=1))
    at_best = tables["confusion"]
    other = next(one for one in ("0", "1e-4") if one not in set(at_best["weight_decay"]))
    all_as_five = at_best.assign(weight_decay=other, predicted=5)
    tables["confusion"] = pd.concat([at_best, all_as_five])
    for chosen, table in (("", at_best), (other, all_as_five)):
        ax = drawn("confusion", tables, weight_decay=chosen).axes[0]
        shown = np.ma.filled(ax.images[0].get_array(), np.nan)
        np.testing.assert_allclose(shown, confusion.rates(table, range(6)))
        assert ("λ = " + other in ax.get_title("left")) is bool(chosen)


def test_confusion_of_many_configurations_shows_the_best_and_says_so():
    groups = tuple((f"mlp-{number}", "sgd") for number in range(12))
    tables = dict(study(("0",), classes=3, epochs=1, groups=groups))
    losses = [5, 1, 7, 2, 9, 8, 3, 4, 6, 10, 11, 0.5]
    tables["best-lambda"] = tables["best-lambda"].assign(val_loss=losses)
    made = drawn("confusion", tables, best=3)
    shown = [one for one in texts(made) if "mlp-" in one]
    assert shown == ["mlp-1\nsgd", "mlp-3\nsgd", "mlp-11\nsgd"]
    assert "the 3 of lowest loss on val, of 12 configurations" in texts(made)
    assert sum(bool(ax.images) for ax in drawn("confusion", tables).axes) == 9
    assert not any("configurations" in one for one in texts(drawn("confusion", tables, best=12)))


@pytest.mark.parametrize(
    ("first", "last", "count", "expected"),
    [
        (0, 100, 1000, range(0, 101)),
        (25, 75, 200, range(25, 76)),
        (0, 100, 10, range(0, 10)),
        (25, 75, 60, range(14, 45)),
        (25, 75, 49, range(0, 49)),
        (25, 75, 1, range(0, 1)),
    ],
)
def test_windows_adapt_to_the_number_of_classes(first, last, count, expected):
    assert confusion.window(first, last, count) == expected


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_class_loss_summarises_the_classes_of_its_split(split):
    labels = ["0", "1e-4", "1e-2"]
    tables = study(tuple(labels), classes=20, epochs=1, seeds=2)
    rows = tables["classes"][tables["classes"]["split"] == split]
    losses = rows.groupby(["class", "weight_decay"])["loss"].mean().unstack()[labels]
    own = tables["best-lambda-per-class"].set_index("class")["weight_decay"].astype(float)
    side = np.sign(own - float(tables["best-lambda"]["weight_decay"].item()))
    groups = [losses[side == which].mean() for which in (-1, 0, 1) if (side == which).any()]
    ax = drawn(f"class-loss-{split}", tables).axes[0]
    found = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 3]
    np.testing.assert_allclose(found, [*groups, losses.mean()])
    ends = ax.collections[-1].get_paths()[0].vertices[:, 1]
    low, high = losses.quantile([1 / 6, 5 / 6]).to_numpy()
    np.testing.assert_allclose([ends.min(), ends.max()], [low.min(), high.max()])
    assert ax.get_title("left") == f"the mean is lowest at λ = {losses.mean().idxmin()}"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_bars_count_the_classes_of_their_split_and_the_best_lambda_is_dark(split):
    tables = study(LAMBDAS, classes=50, epochs=1, seeds=2)
    rows = tables["classes"][tables["classes"]["split"] == split]
    losses = rows.groupby(["class", "weight_decay"])["loss"].mean().unstack()
    counts = losses.idxmin(axis=1).value_counts().reindex(list(LAMBDAS), fill_value=0)
    bars = drawn(f"best-lambda-{split}", tables).axes[0].containers[0]
    assert [bar.get_height() for bar in bars] == counts.tolist()
    dark = [bar.get_facecolor() == to_rgba(best_lambda._BEST) for bar in bars]
    best = tables["best-lambda"]["weight_decay"].item()
    assert dark == [label == best for label in LAMBDAS]
    null = tables["null-best-lambda"].query("split == @split").set_index("weight_decay").loc[best]
    low, high = (f"{null[end]:.0f}" for end in ("shape_low", "shape_high"))
    noise = f"{low} to {high}" if low != high else low
    said = f"{counts[best]} of 50 classes at the best λ, {best}; {noise} by noise"
    assert bars[0].axes.get_title("left") == said


@pytest.mark.parametrize(("best", "other"), [(LAMBDAS[-1], "larger"), (LAMBDAS[5], None)])
def test_the_end_of_the_grid_is_named_below_the_bars(best, other):
    tables = dict(study(LAMBDAS, classes=20, epochs=1))
    tables["best-lambda"] = tables["best-lambda"].assign(weight_decay=best)
    said = f"\nλ = {best} ends the grid:\na {other} one may be better" if other else ""
    assert drawn("best-lambda-test", tables).axes[0].get_xlabel() == f"weight decay λ{said}"


@pytest.mark.parametrize("figure", ["best-lambda-test", "class-loss-test", "three-classes"])
def test_a_lambda_that_an_optimizer_was_not_given_is_not_one_that_diverged(figure):
    tables = dict(study(("0", "1e-3", "1e-2"), 12, groups=(("linear", "sgd"), ("linear", "wd"))))
    for name, table in tables.items():
        if {"optimizer", "weight_decay"} <= set(table.columns):
            tables[name] = table[(table["optimizer"] == "sgd") | (table["weight_decay"] != "1e-3")]
    found = drawn(figure, tables)
    assert "diverged" not in texts(found)
    places = [len(line.get_xdata()) for line in found.axes[1].lines]
    bars = [len(container) for container in found.axes[1].containers[:1]]
    assert 2 in (bars or places)
    assert 3 not in (bars or places)
    full = drawn(figure, study(("0", "1e-3", "1e-2"), 12))
    widest = [len(line.get_xdata()) for line in full.axes[0].lines]
    assert 3 in ([len(container) for container in full.axes[0].containers[:1]] or widest)


def test_no_class_counts_for_a_diverged_run_whose_losses_are_finite():
    tables = dict(study(("0", "1e-2"), classes=20, epochs=3, diverged=("0",)))
    classes = tables["classes"] = tables["classes"].copy()
    classes.loc[classes["weight_decay"] == "0", "loss"] = 1e-9
    ax = drawn("best-lambda-test", tables).axes[0]
    assert [bar.get_height() for bar in ax.containers[0]] == [0, 20]


@pytest.mark.parametrize(
    ("figure", "panel", "table", "column", "factor"),
    [
        ("train-curves", 0, "history", "accuracy", 100),
        ("train-curves", 1, "history", "loss", 1),
        ("train-curves", 2, "history", "objective", 1),
        ("test-curves", 0, "metrics", "accuracy", 100),
        ("test-curves", 1, "metrics", "loss", 1),
        ("weight-norm", 0, "history", "weight_l1", 1),
    ],
)
def test_curves_are_the_numbers_of_their_table(figure, panel, table, column, factor):
    labels = ["0", "1e-4", "1e-2"]
    tables = study(tuple(labels), classes=5, epochs=6)
    metrics = tables["metrics"].copy()
    metrics.loc[metrics["split"] == "val", ["loss", "accuracy"]] /= 2
    tables = tables | {"metrics": metrics}
    rows = tables[table]
    if table == "metrics":
        rows = rows[rows["split"] == "test"]
    rows = rows[rows["epoch"] >= (0 if figure == "weight-norm" else 1)]
    wide = factor * rows.pivot(index="weight_decay", columns="epoch", values=column).loc[labels]
    lines = drawn(figure, tables).axes[panel].lines
    np.testing.assert_allclose([line.get_ydata() for line in lines], wide)
    best = tables["best-lambda"]["weight_decay"].item()
    widths = [line.get_linewidth() for line in lines]
    assert [width == max(widths) for width in widths] == [label == best for label in labels]


def test_confusion_has_the_true_class_in_rows_and_both_axes_named_in_order():
    tables = study(("0", "1e-4"), classes=6, epochs=1)
    ax = drawn("confusion", tables).axes[0]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, confusion.rates(tables["confusion"], range(6)))
    assert ax.images[0].origin == "upper"
    never, always = (sum(ax.images[0].to_rgba(np.array([[share]]))[0, 0, :3]) for share in (0, 1))
    assert (never, always) == (3, 0)  # white, black
    assert ax.images[0].get_extent() == [-0.5, 5.5, 5.5, -0.5]
    for axis in (ax.xaxis, ax.yaxis):
        names = {
            place: text.get_text()
            for place, text in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
        }
        assert names == {number: f"class {number}" for number in range(6)}
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true class", "predicted class")


def test_a_star_marks_the_lowest_loss_of_each_of_three_classes():
    tables = study(LAMBDAS, classes=20, epochs=1)
    lines = drawn("three-classes", tables).axes[0].lines
    stars = [line for line in lines if line.get_marker() == "*"]
    curves = [line for line in lines if len(line.get_ydata()) == len(LAMBDAS)]
    assert len(stars) == len(curves) == 3
    for star, line in zip(stars, curves, strict=True):
        lowest = np.argmin(line.get_ydata())
        assert star.get_ydata()[0] == line.get_ydata()[lowest]
        assert star.get_xdata()[0] == line.get_xdata()[lowest]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_null_histogram_is_drawn_over_the_bars_where_there_is_one(split):
    tables = study(LAMBDAS, classes=50, epochs=1)
    null = tables["null-best-lambda"]
    null = null[null["split"] == split]
    ax = drawn(f"best-lambda-{split}", tables).axes[0]
    assert len(ax.containers) == 1
    for marker, bands, prefix in zip("Ds", ax.collections, ("", "shape_"), strict=True):
        (marks,) = lines(ax, marker)
        np.testing.assert_allclose(marks.get_ydata(), null[f"{prefix}expected"])
        ends = np.array([path.vertices[:, 1] for path in bands.get_paths()])
        np.testing.assert_allclose(ends, null[[f"{prefix}low", f"{prefix}high"]])
    without = {name: table for name, table in tables.items() if name != "null-best-lambda"}
    assert not drawn(f"best-lambda-{split}", without).axes[0].collections


def test_class_effects_are_those_of_the_table():
    tables = study(LAMBDAS, classes=50, epochs=1)
    table = tables["class-inference"]
    left, right = drawn("class-effects", tables).axes[:2]
    np.testing.assert_allclose(left.lines[0].get_ydata(), table["between_sd"])
    np.testing.assert_allclose(left.lines[1].get_ydata(), table["noise_sd"])
    np.testing.assert_allclose(right.lines[0].get_ydata(), table["reliability"].dropna())


def test_measures_have_a_line_each_with_its_band():
    tables = study(LAMBDAS, classes=50, epochs=1)
    table = tables["measures"].set_index("measure")
    figure = drawn("measures", tables)
    for ax, names in zip(figure.axes, measures._PANELS, strict=True):
        for line, band, name in zip(ax.lines, ax.collections, names, strict=False):
            rows = table.loc[name]
            np.testing.assert_allclose(line.get_ydata(), rows["between_sd"])
            ends = [rows["between_sd_low"].min(), rows["between_sd_high"].max()]
            heights = band.get_paths()[0].vertices[:, 1]
            np.testing.assert_allclose([heights.min(), heights.max()], ends)
    assert {"loss after one temperature T", "0/1 error"} <= set(texts(figure))
    first = table[table["weight_decay"] == LAMBDAS[0]]["between_sd"]
    said = f"loss {first['loss']:.2g}, after T {first['scaled_loss']:.2g}"
    assert figure.axes[0].get_title("left") == f"at λ = {LAMBDAS[0]}: {said}"


def test_calibration_is_in_points_beside_chance_and_temperature():
    tables = study(LAMBDAS, classes=50, epochs=1)
    table = tables["calibration"]
    left, right = drawn("calibration", tables).axes
    for line, column in zip(
        left.lines, ("ece", "scaled_ece", "scaled_ece_by_chance"), strict=False
    ):
        np.testing.assert_allclose(line.get_ydata(), 100 * table[column])
    np.testing.assert_allclose(right.lines[0].get_ydata(), table["temperature"])


def test_class_gains_are_ranked_and_their_mean_is_told():
    tables = study(LAMBDAS, classes=50, epochs=1)
    figure = drawn("class-gain", tables)
    mean = tables["compromise"].set_index(["choice", "measure", "resampled"])["gain"]
    for ax, way in zip(figure.axes, ("naive", "honest", "shrunk"), strict=True):
        gains = next(line for line in ax.lines if line.get_marker() == ".").get_ydata()
        ranked = sorted(tables["class-gains"][f"{way}_gain"], reverse=True)
        np.testing.assert_allclose(gains, ranked)
        shown = f"{mean[way, 'loss', 'test']:+.3f}".replace("-", "−")
        assert shown in ax.get_title(loc="left")


def test_gains_above_and_below_zero_have_their_colours_and_counts():
    """Three intervals above 0, one below, two around it."""
    columns = {"gain": [3, 2, 1, 0.1, -0.1, -2], "low": [2, 1, 0.5, -1, -1, -3]}
    columns["high"] = [4, 3, 2, 1, 1, -1]
    table = pd.DataFrame(columns).add_prefix("naive_")
    _, ax = plt.subplots()
    said = class_gain._ranked(ax, table, "naive")
    shown = {
        tuple(lines.get_color()[0]): [path.vertices[0, 0] for path in lines.get_paths()]
        for lines in ax.collections
    }
    colours = {which: to_rgba(colour, 0.8) for which, colour in class_gain._COLOURS.items()}
    assert shown == {colours[True]: [0, 1, 2], colours[False]: [5], colours[None]: [3, 4]}
    assert said == "3 above 0, 1 below"


def test_the_most_helped_and_harmed_classes_are_shown_with_their_images():
    tables = study(LAMBDAS, classes=50, epochs=1)
    ranked = tables["helped-harmed"]
    figure = drawn("helped-harmed", tables)
    panels = figure.axes[:8]
    names = [ax.get_title(loc="left").splitlines()[0].strip("“”") for ax in panels]
    assert names == [*ranked["name"].head(4), *ranked["name"].tail(4)[::-1]]
    ends = [panels[row].get_ylabel().splitlines()[0] for row in (0, 4)]
    helped, harmed = ranked["change"].head(4), ranked["change"].tail(4)
    assert ends[0] == ("helped most" if (helped < 0).all() else "harmed least")
    assert ends[1] == ("harmed most" if (harmed > 0).all() else "helped least")
    shrunk = tables["shrunk-curves"].query("split == 'test'")
    for ax, number in zip(panels[::4], ranked["class"].iloc[[0, -1]], strict=True):
        curve = shrunk[shrunk["class"] == number]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), curve["seen"])
        np.testing.assert_allclose(ax.lines[1].get_ydata(), curve["shrunk"])
    images = tables["typical-images"]
    for ax, number in zip(panels[:4], ranked["class"].head(4), strict=True):
        assert len(ax.child_axes) == (images["class"] == number).sum()


def test_the_probability_is_of_the_side_that_the_change_is_on():
    row = pd.Series({"change": -0.1, "helped": 0.98, "harmed": 0.02})
    assert helped_harmed._probability(row) == "P = 0.980"
    assert helped_harmed._probability(row.replace(-0.1, 0.1)) == "P = 0.020"
    assert helped_harmed._probability(row.replace(0.98, 0.9995)) == "P > 0.999"


def test_worst_classes_are_those_of_the_table():
    tables = study(LAMBDAS, classes=50, epochs=1)
    table = tables["worst-classes"]
    ax = drawn("worst-classes", tables).axes[0]
    shown = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == len(LAMBDAS)]
    chosen = table[table["chosen_on"] == "test"]
    # Of 50 classes the worst 100 are all, and the worst tenth are 5.
    for line, measure in zip(shown, ("lowest", "worst 10", "tenth", "worst 100"), strict=False):
        expected = 100 * chosen[chosen["measure"] == measure]["accuracy"]
        np.testing.assert_allclose(line, expected)
    assert len(shown) == 4
    assert "all 50 classes" in texts(ax.get_legend())
    pairs, best = tables["worst-pairs"], tables["best-lambda"]["weight_decay"].item()
    one = pairs[pairs["weight_decay"] == best].iloc[0]
    said = f"“{one['first']}” and “{one['second']}”, {100 * one['rate']:.0f} %"
    assert ax.get_title("left") == f"most confused at λ = {best}: {said}"


@pytest.mark.parametrize(
    ("figure", "loss"),
    [
        ("train-curves", "squared error"),
        ("test-curves", "softmax squared error"),
        ("class-loss-test", "squared error"),
        ("three-classes", "squared error"),
    ],
)
def test_an_axis_names_the_loss_that_its_runs_were_trained_on(figure, loss):
    tables = dict(study(classes=8, groups=(("a", "sgd"), ("b", "sgd"))))
    squared = tables["runs"]["model"] == "b"
    names = np.where(squared, loss.replace(" ", "-"), "cross-entropy")
    tables["runs"] = tables["runs"].assign(loss_name=names)
    labels = [ax.get_ylabel().replace("\n", " ") for ax in drawn(figure, tables).axes]
    assert any(label.startswith("mean cross-entropy on") for label in labels)
    (other,) = [label for label in labels if label.startswith(f"mean {loss} on")]
    assert "nats" not in other


def test_rows_of_a_solver_stand_where_its_steps_ended():
    """Seeds step at different epochs; between two steps a run's weights are those of the first."""
    tables = study(("0", "1e-2"), classes=5, epochs=4, seeds=2)
    history = tables["history"]
    gone = (history["weight_decay"] == "0") & (history["seed"] == 1) & (history["epoch"] == 2)
    left = history[~gone].reset_index(drop=True)
    line = drawn("weight-norm", tables | {"history": left}).axes[0].lines[0]
    mine = left[left["weight_decay"] == "0"]
    wide = mine.pivot(index="epoch", columns="seed", values="weight_l1")
    wide.loc[2, 1] = wide.loc[1, 1]
    np.testing.assert_array_equal(line.get_xdata(), range(5))
    np.testing.assert_allclose(line.get_ydata(), wide.mean(axis=1))


def test_the_gap_is_the_numbers_of_its_table():
    labels = ["0", "1e-4", "1e-2"]
    tables = study(tuple(labels), classes=5, epochs=2)
    table = tables["optimality-gap"].set_index("weight_decay").loc[labels]
    axes = drawn("optimality-gap", tables).axes
    columns = {"objective_gap": 1, "test_loss_gap": 1, "test_disagreement": 100}
    for ax, (column, factor) in zip(axes, columns.items(), strict=True):
        lines = [line for line in ax.lines if line.get_marker() == "o"]
        found = np.concatenate([line.get_ydata() for line in lines])
        np.testing.assert_allclose(found, factor * table[column])


def test_rivals_stand_from_the_lowest_loss_down_and_the_far_ones_are_written():
    figure = drawn("rivals", study(("1e-4", "1e-3", "1e-2"), 9, 1, seeds=1))
    loss, accuracy, _ = figure.axes
    names = [label.get_text() for label in loss.get_yticklabels()]
    # One that lost all its runs, and one λ itself, have no row.
    assert names[0] == "temperature"
    assert names[1:3] == ["λ per class: lowest on val", "λ per class: hypergradient"]
    dots = [(line.get_ydata()[0], line.get_xdata()[0]) for line in lines(loss, "o")]
    np.testing.assert_allclose(dots, [(0, -0.05), (1, 0.01), (2, 0.02)])
    colours = {line.get_ydata()[0]: line.get_color() for line in lines(loss, "o")}
    assert colours[1] == _style.GREY != colours[0]
    assert "+0.9 →" in texts(loss)
    np.testing.assert_allclose(lines(accuracy, "o")[0].get_xdata(), 0.5)
    assert "← −9" in texts(accuracy)
    images, classes = (
        [line.get_xdata() for line in loss.lines if line.get_linewidth() == width]
        for width in (3.0, 0.8)
    )
    np.testing.assert_allclose(images[0], [-0.07, -0.03])
    np.testing.assert_allclose(classes[0], [-0.09, -0.01])
    assert "at best λ: 70.0 %" in texts(accuracy)


def test_the_lambda_of_each_class_stands_over_what_the_class_is_like():
    tables = study(("1e-4", "1e-3", "1e-2"), 9, 1, seeds=1)
    table = tables["per-class-lambda"]
    figure = drawn("per-class-lambda", tables)
    # All classes have as many training images, so no panel shows their number.
    rows = np.reshape(figure.axes, (3, 2))
    for way, axes in zip(("val", "shrunk", "hypergradient"), rows, strict=True):
        mine = table[table["choice"] == way]
        for ax, (column, factor) in zip(
            axes, {"accuracy": 100, "weight_norm": 1}.items(), strict=True
        ):
            dots = next(line for line in ax.lines if line.get_marker() == "o")
            # Dots of one place are spread a little, so as to be told apart.
            room = 0.013 * factor * np.ptp(mine[column])
            np.testing.assert_allclose(dots.get_xdata(), factor * mine[column], atol=room)
            own = mine["weight_decay"].to_numpy()
            logs = np.log10(np.where(own > 0, own, 1))
            np.testing.assert_allclose(dots.get_ydata()[own > 0], logs[own > 0])
            # λ = 0 is below all others.
            assert dots.get_ydata()[own == 0].max() < logs[own > 0].min()
            best = float(table["best"].iloc[0])
            level = next(line for line in ax.lines if line.get_linestyle() == "--")
            assert level.get_ydata()[0] == pytest.approx(np.log10(best))
    written = " ".join(texts(figure))
    assert "change of test loss +0.0100 (−0.0100 to +0.0300)" in written
    assert "no run stayed finite" in written
    # A way has the name that it has among its rivals.
    ways = [axes[0].get_ylabel().replace("\n", " ") for axes in rows]
    expected = [rival_names.NAMES[way] for way in ("val", "shrunk", "hypergradient")]
    assert ways == expected


def test_ways_of_several_configurations_stand_abreast_so_that_the_figure_fits_a_page():
    groups = tuple((f"model-{number}", "sgd") for number in range(5))
    tables = dict(study(("1e-4", "1e-3"), 5, 1, groups=groups))
    for name, column in (("per-class-lambda", "choice"), ("rivals", "rival")):
        tables[name] = tables[name][tables[name][column] != "hypergradient"]
    figure = drawn("per-class-lambda", tables)
    assert figure.get_figheight() < 11
    rows = np.reshape(figure.axes, (5, 4))
    assert [ax.get_ylabel().split("\n")[-1] for ax in rows[0]] == [
        "lowest on val",
        "",
        "shrunk",
        "",
    ]
    for number, row in enumerate(rows):
        assert f"model-{number} · sgd" in texts(row[0])
        mine = tables["per-class-lambda"].query("model == @groups[@number][0]")
        for way, ax in zip(("val", "shrunk"), row[::2], strict=True):
            dots = next(line for line in ax.lines if line.get_marker() == "o").get_ydata()
            own = mine[mine["choice"] == way]["weight_decay"].to_numpy()
            np.testing.assert_allclose(dots[own > 0], np.log10(own[own > 0]))
