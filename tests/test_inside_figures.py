"""The figures of what is inside networks: every network where it belongs, and odd studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from cobaye import figures, kinds
from cobaye.figures import _families, _histograms, _style
from tests import inside_tables

TABLES = set(inside_tables.tables(("sgd",), 2))
NAMES = sorted(
    name
    for name, kind in figures.names().items()
    if set(kinds.constant("figures", kind, "TABLES")) <= TABLES
)


# Tables with a row per run and more.
KEYED = TABLES - {"runs", "indicator-ranks"}


@pytest.fixture(scope="module")
def given():
    return inside_tables.tables()


def drawn(name, tables, **changes):
    """The matplotlib Figure, laid out."""
    kind = figures.names()[name]
    chosen = {**kinds.constant("figures", kind, "NAMES")[name], **changes}
    read = {stem: tables[stem] for stem in kinds.constant("figures", kind, "TABLES")}
    with _style.house():
        figure = kinds.load("figures", kind).draw(read, kinds.options("figures", kind)(**chosen))
        _style.lay_out(figure)
        figure.draw_without_rendering()
    return figure


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


STUDIES = {
    "nine": {"layers": 4},
    "seeds": {"families": ("sgd", "layca"), "layers": 3, "seeds": (0, 1)},
    "one family of two layers": {"families": ("wd",), "layers": 2},
    "no untrained network": {"families": ("sgd",), "layers": 3, "untrained": False},
}


@pytest.mark.parametrize("case", STUDIES)
def test_every_figure_draws_every_study(case):
    tables = inside_tables.tables(**STUDIES[case])
    for name in NAMES:
        if not name.endswith(inside_tables.FAMILIES):
            assert drawn(name, tables).axes


@pytest.mark.parametrize("name", NAMES)
def test_empty_tables_draw(name):
    tables = {stem: table.iloc[:0] for stem, table in inside_tables.tables(("sgd",), 2).items()}
    assert "nothing to show" in texts(drawn(name, tables))


def test_where_all_runs_diverged_every_figure_draws():
    tables = inside_tables.tables(("sgd", "wd"), 3)
    tables = {stem: own if stem == "runs" else own.iloc[:0] for stem, own in tables.items()}
    tables["runs"] = tables["runs"].assign(finite=False)
    for name in NAMES:
        assert drawn(name, tables).axes


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
    for name in NAMES:
        assert drawn(name, left).axes
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
    assert {"vgg · untrained", "mlp · untrained", "0.12"} <= set(said)
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


def test_three_formats_are_the_same_twice():
    tables = inside_tables.tables(("sgd",), 2)
    for name in ("label-information", "pair-histograms"):
        kind = figures.names()[name]
        read = {stem: tables[stem] for stem in kinds.constant("figures", kind, "TABLES")}
        options = kinds.options("figures", kind)(**kinds.constant("figures", kind, "NAMES")[name])
        first, second = (figures.render(kind, read, options) for _ in range(2))
        assert first == second
        assert set(first) == {"svg", "pdf", "png"}


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


def test_every_panel_of_pairs_is_named_and_stands_over_its_layers(given):
    figure = drawn("pathological-pairs", given)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [
        keys["optimizer"] for keys, _ in inside_tables.runs(("sgd", "wd", "layca"), (0,))
    ]
    assert [ax.get_xlabel() for ax in figure.axes] == [""] * 6 + ["layer"] * 3


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


def test_histograms_show_shares_that_add_up(given):
    figure = drawn("pair-histograms-wd", given)
    steps = figure.findobj(StepPatch)
    assert len(steps) == inside_tables.LAYERS * inside_tables.LEVELS
    for patch in steps:
        assert patch.get_data().values.sum() == pytest.approx(100)


def test_histograms_of_seeds_with_other_widths_are_added_in_the_wider():
    rows = [(0, 0.5, 3), (0.5, 1, 1), (1, 1.5, 2), (0, 0.25, 4), (0.25, 0.5, 5), (0.5, 0.75, 5)]
    table = pd.DataFrame(rows, columns=["lower", "upper", "count"]).assign(layer=1)
    shares, edges = _histograms.shares(table, 1)
    assert edges.tolist() == [0, 0.5, 1, 1.5]
    np.testing.assert_allclose(shares, [12 / 20, 6 / 20, 2 / 20])


def test_untrained_histograms_are_of_the_untrained_network_alone(given):
    figure = drawn("activation-histograms-initial", given)
    assert figure.axes[0].get_title("left") == "untrained"
    assert len(figure.findobj(StepPatch)) == inside_tables.LAYERS


def test_sizes_are_split_in_first_and_last_layers(given):
    for end, layers in (("first", (1, 2, 3)), ("last", (13, 14, 15))):
        said = " ".join(texts(drawn(f"silhouette-sizes-{end}", given)))
        assert all(f"layer {layer}\n" in said for layer in layers)
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
    (own,) = families(["sgd"], lambdas=("0", "1e-3")).values()
    assert [each.label for each in own] == ["sgd, λ = 0", "sgd, λ = 1e-3"]
    assert list(families(["sgd-0"], models=("a", "b"))) == ["a · sgd", "b · sgd"]


def test_one_family_keeps_its_colour():
    table = inside_tables.tables(("sgd", "wd"), 2)["activations"]
    everyone, alone = _families.families(table), _families.families(table, "wd")
    assert alone == {"wd": everyone["wd"]}
