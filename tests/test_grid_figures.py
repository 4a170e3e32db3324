"""The figures of a grid choose and show what is known of their tables."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from cobaye.figures import (
    _grid_words,
    deep_widths,
    grid_best_worst,
    grid_correlation,
    grid_curves,
    grid_scatter,
    random_search,
)
from cobaye.tables import grid_table
from tests.drawing import drawn


def table(diverged=(), widths=(10, 100), rates=(0.1, 0.001), epochs=(2, 4)):
    """Return a grid whose accuracy rises with the rate, the width and the epochs."""
    rows = []
    for width, rate, count in itertools.product(widths, rates, epochs):
        finite = (width, rate, count) not in diverged
        rows.append(
            {
                "model": f"mlp-w{width}",
                "optimizer": f"sgd-lr{rate}",
                "weight_decay": "0",
                "seed": 0,
                "width": width,
                "learning_rate": rate,
                "epochs": count,
                "epoch": count if finite else 1,
                "train_loss": 0.1,
                "train_accuracy": 0.9,
                "val_loss": 1 - rate if finite else np.nan,
                "val_accuracy": 0.5 + rate + width / 1000 + count / 1000 if finite else 0.1,
                "lowest_val_loss_epoch": 1,
                "stopped": "all epochs" if finite else "diverged in epoch 1",
                "finite": finite,
            }
        )
    found = pd.DataFrame(rows)
    return found.assign(rank=grid_table.rank(found))


def tables(grid):
    """Return the grid with the history and metrics of its runs."""
    runs = grid[["model", "optimizer", "weight_decay", "seed"]].drop_duplicates()
    last = int(grid["epochs"].max()) if len(grid) else 0
    each = pd.DataFrame({"epoch": range(last + 1)})
    history = runs.merge(each, how="cross").assign(loss=lambda f: 2.0 / (1 + f["epoch"]))
    metrics = history.assign(split="val", loss=lambda f: f["loss"] + 0.1)
    derived = grid[grid["epochs"] == last].assign(taken="mlp/sgd")
    found = {"grid": grid, "history": history, "metrics": metrics, "derived": derived}
    return found | {"derived-history": history, "derived-metrics": metrics}


def test_best_and_worst_stand_in_their_order():
    """Of 8: the two best, a gap, and the two worst, the one that diverged last."""
    grid = table(diverged=[(100, 0.1, 4)])
    columns = ["width", "learning_rate", "epochs"]
    rows = grid_best_worst.rows(grid, columns, grid_best_worst.Options(best=2, worst=2))
    heads = [head.replace("\n", " ") for head in grid_best_worst.heads(columns)]
    assert heads[:4] == ["rank", "hidden units", "learning rate", "epochs"]
    assert [row[:4] for row in rows] == [
        ["1", "100", "0.1", "2"],
        ["2", "10", "0.1", "4"],
        ["…"] * 4,
        ["7", "10", "0.001", "2"],
        ["–", "100", "0.1", "4"],
    ]
    assert rows[-1][-1] == "diverged in epoch 1"
    small = table(widths=(10,))
    assert len(grid_best_worst.rows(small, columns, grid_best_worst.Options())) == 4


def deep():
    """Networks of two and of three hidden layers; the shallower ones are better."""
    rows = [
        {
            **{"model": f"mlp{depth}-{number}", "optimizer": "sgd", "weight_decay": "0", "seed": 0},
            **{f"width_{layer}": 10 * number + layer for layer in range(1, depth + 1)},
            "epochs": 9,
            "epoch": 9,
            "val_loss": 0.5,
            "val_accuracy": 1 - depth / 10 - number / 1000,
            "stopped": "all epochs",
            "rank": 12 * (depth - 2) + number + 1,
        }
        for depth, number in itertools.product((3, 2), range(12))
    ]
    return grid_table.whole_numbers(pd.DataFrame(rows))


def test_networks_of_each_depth_have_their_best():
    grid = deep()
    assert list(grid_best_worst.parts(grid, by_depth=False)) == [""]
    assert list(grid_best_worst.parts(table(), by_depth=True)) == [""]
    parts = grid_best_worst.parts(grid, by_depth=True)
    assert list(parts) == ["2 hidden layers", "3 hidden layers"]
    columns = ["width_1", "width_2", "width_3"]
    best, gap, worst = (
        grid_best_worst.rows(parts["3 hidden layers"], columns, grid_best_worst.Options())[i]
        for i in (0, 5, -1)
    )
    assert best[:5] == ["13", "1", "2", "3", "70.00"]
    assert set(gap) == {"…"}
    assert worst[:5] == ["24", "111", "112", "113", "68.90"]


def test_the_texts_of_a_table_of_trials_do_not_touch():
    figure = drawn("grid-best-worst", {"grid": deep()})
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 7 + 2 + 2 * 11 * 7
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)


def test_correlations_are_those_of_numpy():
    grid = table()
    found = grid_correlation.correlations(grid)
    expected = np.corrcoef(grid["learning_rate"], grid["val_accuracy"])[0, 1]
    assert found["learning_rate"] == pytest.approx(expected)
    assert list(found.index) == ["width", "learning_rate", "epochs"]
    ax = drawn("grid-correlation", tables(grid)).axes[0]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], found)
    assert f"{expected:+.2f}" in [text.get_text() for text in ax.texts]
    most = {"width": "hidden units", "learning_rate": "learning rate", "epochs": "epochs"}
    assert ax.get_title("left") == f"most related: {most[found.abs().idxmax()]}"


def test_best_median_and_worst_are_different_rows():
    grid = table(widths=range(10, 100, 10), epochs=(4,))
    parts = grid_curves.chosen(grid, grid_curves.Options())
    assert parts["best"]["rank"].tolist() == [1, 2, 3]
    assert parts["median"]["rank"].tolist() == [8, 9, 10]
    assert parts["worst"]["rank"].tolist() == [14, 15, 16, 17, 18]
    figure = drawn("grid-curves", tables(grid))
    shown = [ax.get_title("left").splitlines()[-1] for ax in figure.axes if ax.axison]
    ranked = grid.sort_values("rank")["val_accuracy"].to_numpy()
    expected = ranked[[0, 1, 2, 7, 8, 9, 13, 14, 15, 16, 17]]
    assert shown == [f"{100 * accuracy:.2f} % on val" for accuracy in expected]
    few = grid_curves.chosen(table(widths=(10,), epochs=(1,)), grid_curves.Options())
    assert sum(map(len, few.values())) == 2


def test_a_run_has_one_panel_with_its_best_number_of_epochs():
    grid = table(widths=(10, 20), epochs=(1, 2, 3))
    parts = grid_curves.chosen(grid, grid_curves.Options(best=3, median=0, worst=1))
    shown = pd.concat(parts.values())
    assert len(shown.drop_duplicates(["model", "optimizer"])) == len(shown) == 4
    assert (shown["epochs"] == 3).all()
    assert shown["rank"].is_monotonic_increasing


def test_heat_maps_hold_every_network_once():
    rows = [
        {"width_1": a, "width_2": b, "width_3": c, "val_accuracy": a + 10 * b}
        for a, b, c in [*itertools.product((1, 2), (3, 4), (None,)), (1, 3, 5), (2, 3, 5)]
    ]
    found = deep_widths.maps(pd.DataFrame(rows))
    assert list(found) == [
        "2 hidden layers: rows × columns",
        "3 hidden layers: 1 × rows × columns",
        "3 hidden layers: 2 × rows × columns",
    ]
    two = found["2 hidden layers: rows × columns"]
    assert two.loc[2, 4] == 42
    assert (two.index.name, two.columns.name) == ("width_1", "width_2")
    assert found["3 hidden layers: 2 × rows × columns"].loc[3, 5] == 32
    figure = drawn("deep-widths", {"grid": pd.DataFrame(rows)})
    assert [ax.get_title("left").replace("\n", " ") for ax in figure.axes] == list(found)
    ends = [ax._left_title.get_window_extent() for ax in figure.axes]
    assert ends[0].x1 < ends[1].x0 < ends[1].x1 < ends[2].x0 < ends[2].x1 < figure.bbox.x1
    cells = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "3100.0", (1, 0): "4100.0", (0, 1): "3200.0", (1, 1): "4200.0"}


def test_random_search_against_all_samples():
    """Exact: against the best of every subset, counted one by one."""
    values = np.array([0.3, 0.9, 0.1, 0.5, 0.5])
    mean, low, high = random_search.best_of(values)
    for n in range(1, 6):
        best = sorted(max(each) for each in itertools.combinations(values, n))
        assert mean[n - 1] == pytest.approx(np.mean(best))
        assert low[n - 1] == best[max(int(np.ceil(0.05 * len(best))), 1) - 1]
        assert high[n - 1] == best[max(int(np.ceil(0.95 * len(best))), 1) - 1]


def test_words_for_a_configuration():
    row = pd.Series({"width_1": 64, "width_2": 32, "width_3": None, "learning_rate": 0.1})
    columns = ["width_1", "width_2", "width_3", "learning_rate"]
    assert _grid_words.described(row, columns) == "h 64 × 32, lr 0.1"


def test_a_panel_shows_the_losses_of_its_run_and_marks_the_lowest():
    grid = table(widths=(10,), rates=(0.1,), epochs=(4,)).assign(lowest_val_loss_epoch=3)
    given = tables(grid)
    (ax,) = drawn("derived-curves", given).axes
    train, val, lowest = (line.get_xydata() for line in ax.lines)
    epochs = np.arange(5)
    np.testing.assert_allclose(train, np.transpose([epochs, 2 / (1 + epochs)])[1:])
    np.testing.assert_allclose(val, np.transpose([epochs, 2 / (1 + epochs) + 0.1]))
    np.testing.assert_allclose(lowest, [[3, 0.6]])


def test_a_panel_ends_with_the_epochs_of_its_row_and_crosses_what_diverged():
    """The rows of a run go on: another trial may read it at more epochs."""
    grid = table(diverged=[(10, 0.1, 4)], widths=(10, 20), rates=(0.1,), epochs=(4,))
    grid.loc[~grid["finite"], "epochs"] = 1
    whole, cut = drawn("grid-curves", tables(grid)).axes[:2]
    assert [len(ax.lines[1].get_xdata()) for ax in (whole, cut)] == [5, 2]
    crosses = [[line for line in ax.lines if line.get_marker() == "x"] for ax in (whole, cut)]
    assert [len(each) for each in crosses] == [0, 1]


def test_each_cell_is_the_mean_of_all_trials_of_two_values():
    grid = table(diverged=[(100, 0.001, 2)])
    found = grid_scatter.maps(grid)
    assert list(found) == [
        ("width", "learning_rate"),
        ("width", "epochs"),
        ("learning_rate", "epochs"),
    ]
    of_both = grid[(grid["width"] == 100) & (grid["learning_rate"] == 0.001)]["val_accuracy"]
    shown = found["width", "learning_rate"].loc[100, 0.001]
    assert shown == pytest.approx(100 * of_both.mean())
    ax = drawn("grid-scatter", tables(grid)).axes[0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("hidden units", "learning rate")
    np.testing.assert_allclose(ax.images[0].get_array(), found["width", "learning_rate"])
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[0, 1] == f"{shown:.0f}"
    one = table(widths=(10,), epochs=(2,))
    assert list(grid_scatter.maps(one)) == [("all", "learning_rate")]


def test_a_random_search_counts_what_diverged_as_nothing_found():
    grid = table(diverged=[(100, 0.1, 2), (100, 0.1, 4)])
    accuracy = 100 * grid["val_accuracy"].where(grid["finite"], 0)
    curve, whole = drawn("random-search", tables(grid)).axes[0].lines
    np.testing.assert_allclose(curve.get_ydata(), random_search.best_of(accuracy.to_numpy())[0])
    assert whole.get_ydata()[0] == accuracy.max()
