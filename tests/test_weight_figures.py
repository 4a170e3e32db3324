"""The figures of weights and pruning, of a made study of three families of three levels."""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from cobaye import figures, kinds
from cobaye.figures import _families, _style, weight_histograms
from cobaye.inside import rotations

RUN = ["model", "optimizer", "weight_decay", "seed"]
MINE = ("rotation", "rotation-terms", "pruning", "weight-histograms")
FIGURES = [name for name, kind in figures.names().items() if kind in MINE]
FAMILIES = ("sgd", "wd", "layca")
EPOCHS = 6


@functools.cache
def study(families=FAMILIES, levels=3, layers=15, seeds=1, diverged=(), size=40):
    """Return tables in which level l of family f turns layers by more the higher l and f are."""
    rows = {name: [] for name in ("rotation", "history", "metrics", "runs", "pruning")}
    parts = []
    for f, family in enumerate(families):
        for level in range(levels):
            for seed in range(seeds):
                run = ("vgg16", f"{family}-{level}", "2e-3" if f == 1 else "0", seed)
                bad = (family, level) in diverged
                rows["runs"].append((*run, EPOCHS, "diverged" if bad else "all epochs", not bad))
                _training(rows, run, 0.15 * level + 0.02 * f)
                if not bad:
                    parts += _weights(rows["rotation"], run, f, level, layers, size)
                    _pruning(rows["pruning"], run, f, level)
    columns = {
        "rotation": "epoch layer name kind parameters cosine_distance norm norm_ratio projection "
        "near_zero near_own_zero",
        "history": "epoch accuracy learning_rate",
        "metrics": "epoch split accuracy",
        "runs": "epochs stopped finite",
        "pruning": "how fraction repeat accuracy loss",
    }
    made = {name: pd.DataFrame(rows[name], columns=[*RUN, *columns[name].split()]) for name in rows}
    empty = pd.DataFrame(columns=[*RUN, "quantity", "layer", "name", "lower", "upper", "count"])
    made["weight-histograms"] = pd.concat(parts, ignore_index=True) if parts else empty
    return made


def _training(rows, run, better):
    for epoch in range(EPOCHS + 1):
        reached = (0.55 + better) * (1 - np.exp(-epoch / 2)) + 0.01 * run[3]
        rate = np.nan if epoch == 0 else 10 ** (better * 5 - 3) * 0.2 ** (epoch // 3)
        rows["history"].append((*run, epoch, np.nan if epoch == 0 else min(reached + 0.1, 1), rate))
        rows["metrics"].append((*run, epoch, "val", reached))


def _weights(rows, run, f, level, layers, size):
    """The layers of one network: w₀, kept less and less, and as much of other directions."""
    parts = []
    for layer in range(1, layers + 1):
        generator = torch.Generator().manual_seed(layer + 100 * run[3])
        before = torch.empty(size, size // 2)
        torch.nn.init.xavier_uniform_(before, generator=generator)
        other = before.std() * torch.randn(before.shape, generator=generator)
        for epoch in range(EPOCHS + 1):
            turn = (0.05, 0.15, 1)[level % 3] * (1 - 0.02 * layer) * epoch / EPOCHS
            kept = (1, 1 - turn * (0.4 + 0.03 * layer), (1 - turn**2) ** 0.5)[f % 3]
            now = kept * before + (1.5, 0.4 - 0.02 * layer, 1)[f % 3] * turn * other
            told = (*run, epoch, layer, f"conv{layer}", "conv", before.numel())
            rows.append((*told, *rotations.rotation(before, now, 0.1).values()))
        table = rotations.histograms(before, now)
        table[[*RUN, "layer", "name"]] = *run, layer, f"conv{layer}"
        parts.append(table)
    return parts


def _pruning(rows, run, f, level):
    rng = np.random.default_rng(run[3])
    for fraction in np.arange(10) / 10:
        for how, repeats in (("random", 5), ("magnitude", 1)):
            for repeat in range(repeats):
                bent = 8 - 2 * level if how == "random" else 2 - 0.6 * f
                reached = 0.1 + (0.55 + 0.1 * level) * (1 - fraction) ** bent
                noise = rng.normal(0, 0.02) * (how == "random") * (fraction > 0)
                rows.append((*run, how, fraction, repeat, max(reached + noise, 0.1), 1.0))


def of(figure, given, **asked):
    kind = figures.names()[figure]
    fixed = kinds.constant("figures", kind, "NAMES")[figure] | asked
    read = {name: given[name] for name in kinds.constant("figures", kind, "TABLES")}
    return kind, read, kinds.options("figures", kind)(**fixed)


def drawn(figure, given, **asked):
    """The matplotlib Figure, laid out, from the tables that the kind says it reads."""
    kind, read, options = of(figure, given, **asked)
    with _style.house():
        result = kinds.load("figures", kind).draw(read, options)
        _style.lay_out(result)
        return result


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def small(**asked):
    return study(**{"layers": 4, "levels": 2, "size": 12} | asked)


ONE_OF_A_KIND = ("rotation-sgd", "rotation-terms", "random-pruning", "weight-distribution-first")


@pytest.mark.parametrize("figure", ONE_OF_A_KIND)
def test_every_kind_comes_in_three_formats(figure):
    result = figures.render(*of(figure, small()))
    assert ElementTree.fromstring(result["svg"]).tag.endswith("svg")
    assert result["pdf"].startswith(b"%PDF")
    assert result["png"].startswith(b"\x89PNG")


STUDIES = {
    "one": {"families": ("adam",), "levels": 1, "layers": 1},
    "seeds": {"families": ("sgd", "wd"), "seeds": 2},
    "diverged": {"families": ("sgd", "wd"), "diverged": (("sgd", 1), ("wd", 0))},
    "all-diverged": {"families": ("sgd",), "diverged": (("sgd", 0), ("sgd", 1))},
    "many": {"families": tuple("abcdefg"), "levels": 1, "layers": 2},
}


@pytest.mark.parametrize("case", STUDIES)
@pytest.mark.parametrize("figure", ["rotation", *ONE_OF_A_KIND[1:]])
def test_every_kind_draws_every_study(figure, case):
    with _style.house():
        drawn(figure, small(**STUDIES[case])).draw_without_rendering()


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_to_show(figure):
    empty = {name: table.iloc[:0] for name, table in small(families=("sgd",)).items()}
    assert "nothing to show" in texts(drawn(figure, empty))
    if figure.endswith(("-wd", "-layca")):
        assert "nothing to show" in texts(drawn(figure, small(families=("sgd",))))


def test_every_figure_of_the_thesis_has_a_name():
    thirds = [
        f"{stem}-{part}"
        for stem in ("weight-change", "relative-change", "weight-distribution")
        for part in ("first", "middle", "last")
    ]
    stems = ("rotation", "random-pruning", "magnitude-pruning")
    by_family = [f"{stem}-{family}" for stem in stems for family in FAMILIES]
    assert {*thirds, *by_family, "rotation-terms"} < set(FIGURES)


def members(given):
    found = _families.families(given["runs"])
    return [member for own in found.values() for member in own]


def test_rotation_shows_every_layer_and_the_rates_of_all_epochs():
    given = small()
    figure = drawn("rotation-layca", given)
    own = [member for member in members(given) if member.optimizer.startswith("layca")]
    panels = [ax for ax in figure.axes if ax.get_ylabel() == "cosine distance"]
    for member, ax in zip(own, panels, strict=True):
        table = member.rows(given["rotation"])
        curves = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) == EPOCHS + 1]
        for (_, layer), curve in zip(table.groupby("layer"), curves, strict=True):
            np.testing.assert_array_equal(curve, layer[["epoch", "cosine_distance"]])
    rates = [ax for ax in figure.axes if ax.get_ylabel() == "learning rate"]
    for member, ax in zip(own, rates, strict=True):
        rate = member.rows(given["history"])["learning_rate"].iloc[1:]
        np.testing.assert_array_equal(ax.patches[0].get_data().values, rate)
        np.testing.assert_array_equal(ax.patches[0].get_data().edges, range(EPOCHS + 1))


def test_families_share_their_axes_from_figure_to_figure():
    given = small()
    for stem in ("rotation", "random-pruning", "magnitude-pruning"):
        pairs = {
            tuple((ax.get_xlim(), ax.get_ylim()) for ax in drawn(name, given).axes)
            for name in (f"{stem}-{family}" for family in FAMILIES)
        }
        assert len(pairs) == 1


def test_terms_are_those_of_the_last_epoch_and_add_up():
    given = small()
    figure = drawn("rotation-terms", given)
    for member, ax in zip(members(given), figure.axes, strict=True):
        table = member.rows(given["rotation"]).query(f"epoch == {EPOCHS}")
        ratio, projection, distance = (
            line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 4
        )
        np.testing.assert_array_equal(ratio, table["norm_ratio"])
        np.testing.assert_array_equal(projection, table["projection"])
        np.testing.assert_allclose(distance, 1 - ratio - projection, atol=1e-12)


def test_large_terms_are_shown_beside_small_ones():
    given = dict(small())
    given["rotation"] = given["rotation"].assign(norm_ratio=250.0)
    ax = drawn("rotation-terms", given).axes[0]
    assert ax.get_yscale() == "symlog"
    assert ax.get_ylim()[1] > 250
    assert {"−1", "0", "1", "100"} <= {text.get_text() for text in ax.get_yticklabels()}


@pytest.mark.parametrize(
    ("figure", "how"), [("random-pruning", "random"), ("magnitude-pruning", "magnitude")]
)
def test_pruning_shows_mean_and_range(figure, how):
    given = small(seeds=2)
    for ax, family in zip(drawn(figure, given).axes, FAMILIES, strict=True):
        own = [member for member in members(given) if member.optimizer.startswith(family)]
        for member, line, band in zip(own, ax.lines, ax.collections or own, strict=True):
            table = member.rows(given["pruning"]).query(f"how == {how!r}")
            found = table.groupby("fraction")["accuracy"].agg(["mean", "min", "max"]) * 100
            np.testing.assert_allclose(line.get_ydata(), found["mean"])
            if how == "random":
                corners = band.get_paths()[0].vertices[:, 1]
                assert corners.min() == pytest.approx(found["min"].min())
                assert corners.max() == pytest.approx(found["max"].max())


def test_thirds_of_layers():
    first, middle, last = (
        weight_histograms.third(range(1, 16), w) for w in ("first", "middle", "last")
    )
    assert (first, middle, last) == ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15])
    assert weight_histograms.third([1, 2, 3, 4], "first") == [1, 2]
    assert weight_histograms.third([1], "last") == []
    assert weight_histograms.third([1, 2], "all") == [1, 2]


@pytest.mark.parametrize("size", [10, 100, 400])
def test_densities_are_of_one_and_know_their_distribution(size):
    """Uniform in ±a: 1/2a within, joined bins of small layers included."""
    limit = (6 / (size + size)) ** 0.5
    before = torch.linspace(-limit, limit, size * size).view(size, size)
    table = rotations.histograms(before, before)
    values, edges = weight_histograms.density(table[table["quantity"] == "initial"])
    assert len(values) == {10: 27, 100: 243, 400: 243}[size]
    assert (values * np.diff(edges)).sum() == pytest.approx(1)
    inside = (np.abs(edges[1:]) < limit) & (np.abs(edges[:-1]) < limit)
    np.testing.assert_allclose(values[inside], 1 / (2 * limit), rtol=0.25 if size == 10 else 0.05)


def test_a_row_shows_nearly_all_weights_of_the_widest_network():
    given = small()
    figure = drawn("weight-change", given)
    table = given["weight-histograms"].query("quantity == 'change'")
    layers = sorted(table["layer"].unique())
    for layer, row in zip(layers, np.array(figure.axes).reshape(len(layers), -1), strict=True):
        (reach,) = {ax.get_xlim()[1] for ax in row}
        for _, own in table[table["layer"] == layer].groupby("optimizer"):
            beyond = own.loc[(own["lower"] >= reach) | (own["upper"] <= -reach), "count"].sum()
            assert beyond <= 0.002 * own["count"].sum()
