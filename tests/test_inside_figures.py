"""The figures of what is inside networks show every network where it belongs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import StepPatch

from cobaye.figures import _families, _layer_histograms
from tests import inside_tables
from tests.drawing import drawn, texts

# Tables with a row per run and more.
KEYED = set(inside_tables.tables(("sgd",), 2)) - {"runs", "indicator-ranks"}


@pytest.fixture(scope="module")
def given():
    return inside_tables.tables()


def without(tables, optimizer):
    """Tables in which the only run of an optimizer diverged."""
    left = {
        stem: own[own["optimizer"] != optimizer] for stem, own in tables.items() if stem in KEYED
    }
    runs = tables["runs"]
    finite = runs["finite"] & (runs["optimizer"] != optimizer)
    return {**tables, **left, "runs": runs.assign(finite=finite)}


def test_a_run_that_diverged_is_named_and_leaves_the_others_their_looks():
    whole = inside_tables.tables(layers=3)
    left = without(whole, "sgd-2")
    before, after = drawn("pair-information", whole), drawn("pair-information", left)
    looks = [
        {
            line.get_label(): (line.get_color(), line._dash_pattern)
            for line in figure.legends[0].get_lines()
        }
        for figure in (before, after)
    ]
    looks = [{key.removesuffix(" (diverged)"): look for key, look in own.items()} for own in looks]
    assert looks[0] == looks[1]
    assert "sgd-2 (diverged)" in texts(after)
    assert len(after.axes[0].lines) == len(before.axes[0].lines) - 1


def test_untrained_networks_of_two_models_are_not_mixed():
    one = inside_tables.tables(("sgd",), 3)
    other = {stem: own.assign(model="mlp") for stem, own in one.items() if "model" in own}
    other["activations"] = other["activations"].assign(zeros=0.123, pair_information=0.4321)
    both = {stem: pd.concat([own, other.get(stem, own.iloc[:0])]) for stem, own in one.items()}
    said = texts(drawn("activation-zeros", both))
    assert {"vgg16 · untrained", "mlp · untrained", "0.12"} <= set(said)
    first, second = (ax.lines[0].get_ydata() for ax in drawn("pair-information", both).axes)
    own = one["activations"].query("state == 'initial'")["pair_information"]
    np.testing.assert_allclose(first, own)
    np.testing.assert_allclose(second, 0.4321)


@pytest.mark.parametrize("dead", [(2,), (1, 2, 3)])
def test_a_dead_layer_keeps_its_place_in_the_maps(dead):
    tables = inside_tables.tables(("sgd",), 3)
    table = tables["layer-similarity"].copy()
    gone = table["layer"].isin(dead) | table["other"].isin(dead)
    table.loc[gone, ["svcca", "svcca_null"]] = np.nan
    figure = drawn("svcca", {**tables, "layer-similarity": table})
    shown = figure.axes[1 + 2].images[0].get_array()
    assert shown.shape == (3, 3)
    np.testing.assert_array_equal(np.flatnonzero(shown.mask.all(axis=1)) + 1, dead)


def test_a_family_has_a_panel_and_a_colour_and_a_level_its_dashes(given):
    figure = drawn("pair-information", given)
    looks = []
    for ax, family in zip(figure.axes, inside_tables.FAMILIES, strict=True):
        assert ax.get_title("left") == family
        untrained, *levels = (line for line in ax.lines if len(line.get_xdata()) > 2)
        for level, line in enumerate(levels):
            table = given["activations"]
            own = table[table["optimizer"].eq(f"{family}-{level}") & table["state"].eq("trained")]
            np.testing.assert_allclose(line.get_ydata(), own["pair_information"])
            looks.append((line.get_color(), line._dash_pattern))
        assert len(levels) == inside_tables.LEVELS
        assert untrained.get_color() == _families.INITIAL["color"]
    assert len({color for color, _ in looks}) == 3
    assert len({str(dashes) for _, dashes in looks}) == 3


def test_seeds_are_a_mean_and_its_range():
    given = inside_tables.tables(("sgd",), 3, seeds=(0, 1))
    figure = drawn("label-information", given)
    table = given["activations"]
    own = table[(table["optimizer"] == "sgd-2") & (table["state"] == "trained")]
    by_layer = own.groupby("layer")["label_information"]
    (line,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"][-1:]
    np.testing.assert_allclose(line.get_ydata(), by_layer.mean())
    band = [each for each in figure.axes[0].collections if isinstance(each, PolyCollection)][-1]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(by_layer.max().max())


def test_pathological_neurons_are_those_off_and_those_on(given):
    table = given["activations"].assign(on=0.5)
    (ax, *_) = drawn("pathological-neurons", {**given, "activations": table}).axes
    expected = (table["off"] + 0.5) * 100
    own = table["optimizer"].eq("sgd-0") & table["state"].eq("trained")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), expected[own])


def test_pairs_are_stacked_below_neurons_and_their_square(given):
    table = given["activations"].query("optimizer == 'wd-1' and state == 'trained'")
    ax = drawn("pathological-pairs", given).axes[4]
    parts = ("pairs_off", "pairs_on", "pairs_mixed")
    for bars, below, part in zip(ax.containers, (0, 1, 2), parts, strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in bars], 100 * table[part])
        foot = 100 * table[list(parts[:below])].sum(axis=1)
        np.testing.assert_allclose([bar.get_y() for bar in bars], foot)
    neurons, square = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(neurons, 100 * (table["off"] + table["on"]))
    np.testing.assert_allclose(square, 100 * (table["off"] + table["on"]) ** 2)


def test_every_panel_of_pairs_is_named_and_stands_over_its_layers(given):
    figure = drawn("pathological-pairs", given)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [
        keys["optimizer"] for keys, _ in inside_tables.runs(("sgd", "wd", "layca"), (0,))
    ]
    assert [ax.get_xlabel() for ax in figure.axes] == [""] * 6 + ["layer"] * 3


@pytest.mark.parametrize("figure", ["rotation-terms", "pathological-pairs"])
def test_the_lowest_panel_of_each_column_has_numbers(figure):
    """Families of three, two and one level; one run of the longest diverged."""
    gone = ("wd-2", "layca-1", "layca-2")
    whole = inside_tables.tables() | inside_tables.weights(("sgd", "wd", "layca"), 3, 3)
    kept = {
        stem: table[~table["optimizer"].isin(gone)] if "optimizer" in table else table
        for stem, table in whole.items()
    }
    left = without(kept, "sgd-2")
    axes = np.reshape(drawn(figure, left).axes[:9], (3, 3))
    shown = [[ax.axison for ax in row] for row in axes]
    assert shown == [[True] * 3, [True, True, False], [True, False, False]]
    last = left["activations" if figure == "pathological-pairs" else "rotation"]["layer"].max()
    for column in axes.T:
        *above, lowest = [ax for ax in column if ax.axison]
        assert lowest.get_xlabel() == "layer"
        numbers = [label.get_text() for label in lowest.get_xticklabels() if label.get_visible()]
        assert numbers[0] == "1"
        assert lowest.get_xlim() == (0.5, last + 0.5)
        assert not any(ax.get_xlabel() for ax in above)


def test_silhouettes_say_how_many_neurons_counted(given):
    figure = drawn("silhouette-cosine", given)
    below = figure.axes[3]
    assert below.get_ylabel() == "neurons\nthat counted"
    assert below.lines[0].get_ydata()[6] == 0
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[6])


def test_the_table_of_zeros_prints_its_numbers(given):
    said = texts(drawn("activation-zeros", given))
    row = given["activations"].query("optimizer == 'wd-1' and layer == 4 and state == 'trained'")
    assert {"untrained", "wd-1", f"{row['zeros'].item():.2f}"} <= set(said)
    seeds = inside_tables.tables(("sgd",), 2, seeds=(0, 1))
    zeros = seeds["activations"]["zeros"] + 0.2 * seeds["activations"]["seed"]
    table = seeds["activations"].assign(zeros=zeros)
    ax = drawn("activation-zeros", {**seeds, "activations": table}).axes[0]
    mean = table.query("optimizer == 'sgd-0' and layer == 2 and state == 'trained'")["zeros"].mean()
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[1, 1] == f"{mean:.2f}"  # the row below the untrained network


def test_histograms_show_shares_that_add_up(given):
    figure = drawn("pair-histograms-wd", given)
    steps = figure.findobj(StepPatch)
    assert len(steps) == inside_tables.LAYERS * inside_tables.LEVELS
    for patch in steps:
        assert patch.get_data().values.sum() == pytest.approx(100)
    table = given["activations"].query("optimizer == 'wd-0' and layer == 1 and state == 'trained'")
    upright = [line.get_xdata()[0] for line in figure.axes[0].lines]
    columns = ["pair_information", "pair_information_below_one"]
    np.testing.assert_allclose(upright, table[columns].iloc[0])


def test_histograms_of_seeds_with_other_widths_are_added_in_the_wider():
    rows = [(0, 0.5, 3), (0.5, 1, 1), (1, 1.5, 2), (0, 0.25, 4), (0.25, 0.5, 5), (0.5, 0.75, 5)]
    table = pd.DataFrame(rows, columns=["lower", "upper", "count"]).assign(layer=1)
    shares, edges = _layer_histograms.shares(table, 1)
    assert edges.tolist() == [0, 0.5, 1, 1.5]
    np.testing.assert_allclose(shares, [12 / 20, 6 / 20, 2 / 20])


def test_untrained_histograms_are_of_the_untrained_network_alone(given):
    figure = drawn("activation-histograms-initial", given)
    assert figure.axes[0].get_title("left") == "untrained"
    assert len(figure.findobj(StepPatch)) == inside_tables.LAYERS


def test_sizes_are_split_in_first_and_last_layers(given):
    for end, layers in (("first", (1, 2, 3)), ("last", (13, 14, 15))):
        figure = drawn(f"silhouette-sizes-{end}", given)
        assert all(f"layer {layer}\n" in " ".join(texts(figure)) for layer in layers)
        run = "distance == 'cosine' and optimizer == 'sgd-0' and state == 'trained'"
        own = given["silhouette-sizes"].query(f"layer == {layers[0]} and {run}")
        curve = figure.axes[0].lines[1].get_xydata()
        np.testing.assert_allclose(curve, own[["share", "silhouette"]] * np.array([100, 1]))
    assert "(euclidean)" in " ".join(
        texts(drawn("silhouette-sizes-first", given, distance="euclidean"))
    )


def test_maps_of_similarity_are_less_what_chance_gives(given):
    figure = drawn("svcca", given)
    shown = figure.axes[3].images[0].get_array()
    assert shown.max() == pytest.approx(0.8)
    assert shown[0, 1] == pytest.approx(0.75)


def test_dots_of_indicators_are_the_runs(given):
    figure = drawn("indicators", given)
    table = given["indicators"]
    own = table[(table["indicator"] == "cosine_distance") & (table["layer"] == "all")]
    seen = [dot.get_xydata()[0] for dot in figure.axes[0].lines]
    np.testing.assert_allclose(seen, own[["value", "test_accuracy"]] * np.array([1, 100]))
    ranks = given["indicator-ranks"]
    rho = ranks.query("indicator == 'cosine_distance' and layer == 'all'")["spearman"].item()
    assert figure.axes[0].get_title("left") == f"ρ = {rho:+.2f}".replace("-", "−")


def test_a_layer_may_be_looked_at_alone(given):
    figure = drawn("indicators", given, layer="3")
    table = given["indicators"].query("indicator == 'zeros' and layer == '3'")
    panel = next(ax for ax in figure.axes if "zeros" in ax.get_xlabel())
    np.testing.assert_allclose([dot.get_xdata()[0] for dot in panel.lines], table["value"])


def test_the_map_of_ranks_has_a_field_per_layer(given):
    figure = drawn("indicator-layers", given)
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (17, inside_tables.LAYERS + 1)
    assert shown.mask[5].sum() == inside_tables.LAYERS  # pruning has no layers
    ranks = given["indicator-ranks"]
    names = ["cosine distance from the start", "neurons that never change"]
    rows = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    for name, indicator in zip(names, ("cosine_distance", "off"), strict=True):
        rho = ranks.query(f"indicator == {indicator!r}").set_index("layer")["spearman"]
        assert shown[rows.index(name), [0, 3]].tolist() == [rho["all"], rho["3"]]


def families(optimizers, models=("m",), lambdas=("0",)):
    rows = [
        {"model": model, "optimizer": optimizer, "weight_decay": label}
        for model in models
        for optimizer in optimizers
        for label in lambdas
    ]
    return _families.families(pd.DataFrame(rows))


def test_families_are_read_off_the_names_of_optimizers():
    found = families(["sgd-0", "sgd-1", "layca-10", "adam", "step-decay"])
    assert {name: [each.label for each in own] for name, own in found.items()} == {
        "sgd": ["sgd-0", "sgd-1"],
        "layca": ["layca-10"],
        "adam": ["adam"],
        "step-decay": ["step-decay"],
    }
    assert len({own[0].color for own in found.values()}) == 4


def test_labels_say_what_tells_runs_apart():
    assert list(families(["l1-1e-4", "l1-1e-3", "sgd-0-1"])) == ["l1", "sgd-0"]
    (own,) = families(["sgd"], lambdas=("0", "1e-3")).values()
    assert [each.label for each in own] == ["sgd, λ = 0", "sgd, λ = 1e-3"]
    assert list(families(["sgd-0"], models=("a", "b"))) == ["a · sgd", "b · sgd"]


def test_one_family_keeps_its_colour():
    table = inside_tables.tables(("sgd", "wd"), 2)["activations"]
    everyone, alone = _families.families(table), _families.families(table, "wd")
    assert alone == {"wd": everyone["wd"]}
