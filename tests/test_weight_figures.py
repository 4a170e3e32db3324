"""The figures of weights and pruning show every family and layer where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cobaye.errors import ConfigError
from cobaye.figures import _families, weight_histograms
from cobaye.inside import rotations
from tests.drawing import drawn, texts
from tests.inside_tables import EPOCHS, FAMILIES, weights


def small(**asked):
    return weights(**{"layers": 4, "levels": 2, "size": 12} | asked)


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


def test_a_family_that_a_study_lacks_has_nothing_to_show():
    given = small(families=("sgd",))
    for figure in ("rotation-wd", "magnitude-pruning-layca"):
        assert "nothing to show" in texts(drawn(figure, given))


def test_distributions_are_drawn_over_that_before_training():
    """Of each layer and family: a step per level, and in grey the weights before training."""
    given = small()
    table = given["weight-histograms"].query("layer == 1")
    first, *_ = drawn("weight-distribution", given).axes
    assert first.get_title("left") == "sgd"
    before, *steps = (patch.get_data().values for patch in first.patches)
    initial, _ = weight_histograms.density(table.query("quantity == 'initial'"))
    np.testing.assert_allclose(before, initial)
    for level, shown in enumerate(steps):
        mine = table.query(f"quantity == 'weight' and optimizer == 'sgd-{level}'")
        np.testing.assert_allclose(shown, weight_histograms.density(mine)[0])
    assert len(steps) == 2


def test_accuracies_at_marked_shares_are_written_in_the_order_of_the_legend():
    given = small(families=("sgd", "wd"))
    made = drawn("magnitude-pruning", given, marks=(0.3,))
    table = given["pruning"].query("how == 'magnitude' and fraction > 0.29 and fraction < 0.31")
    for ax, family in zip(made.axes, ("sgd", "wd"), strict=True):
        means = [table[table["optimizer"] == f"{family}-{i}"]["accuracy"].mean() for i in (0, 1)]
        expected = "\n".join(["30 %:", *(f"{100 * mean:.1f}" for mean in means)])
        assert expected in [text.get_text() for text in ax.texts]
        assert [30.0, 30.0] in [list(line.get_xdata()) for line in ax.lines]
    with pytest.raises(ConfigError, match=r"marks: 0\.31 is none of the fractions"):
        drawn("magnitude-pruning", given, marks=(0.31,))
