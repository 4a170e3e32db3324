"""Figures of a grid: what they choose, on tables whose answer is known; and that they draw."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from cobaye import figures, kinds
from cobaye.figures import (
    _grid,
    _style,
    deep_widths,
    grid_best_worst,
    grid_correlation,
    grid_curves,
    random_search,
)
from cobaye.tables import grid_table

FIGURES = ("grid-best-worst", "grid-scatter", "grid-correlation", "grid-curves", "random-search")


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


def drawn(figure, given):
    kind = figures.names()[figure]
    options = kinds.options("figures", kind)()
    with _style.house():
        result = kinds.load("figures", kind).draw(given, options)
        _style.lay_out(result)
        return result


GRIDS = {
    "whole": table(),
    "one": table(widths=(10,), rates=(0.1,), epochs=(2,)),
    "diverged": table(diverged=[(100, 0.1, 2), (100, 0.1, 4)]),
    "all-diverged": table(diverged=set(itertools.product((10, 100), (0.1, 0.001), (2, 4)))),
    "no-grid": grid_table.table({}, None),
}


@pytest.mark.parametrize("figure", [*FIGURES, "deep-widths"])
@pytest.mark.parametrize("name", GRIDS)
def test_every_figure_of_any_grid_is_drawn(figure, name):
    found = drawn(figure, tables(GRIDS[name]))
    said = [text.get_text() for text in found.findobj(Text) if text.get_text()]
    assert said
    shows = {"grid-scatter", "grid-curves"}
    if name == "diverged" and figure in shows:
        assert "diverged" in said


def test_the_same_tables_give_the_same_bytes():
    given = tables(GRIDS["diverged"])
    for figure in (*FIGURES, "derived-curves"):
        kind = figures.names()[figure]
        needed = {name: given[name] for name in kinds.constant("figures", kind, "TABLES")}
        options = kinds.options("figures", kind)()
        first, second = (figures.render(kind, needed, options) for _ in range(2))
        assert first == second
        assert set(first) == {"svg", "pdf", "png"}


def test_best_and_worst_stand_in_their_order():
    """Of 8: the two best, a gap, and the two worst, the one that diverged last."""
    grid = table(diverged=[(100, 0.1, 4)])
    heads, rows = grid_best_worst.rows(grid, grid_best_worst.Options(best=2, worst=2))
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
    assert len(grid_best_worst.rows(small, grid_best_worst.Options())[1]) == 4


def test_correlations_are_those_of_numpy():
    grid = table()
    found = grid_correlation.correlations(grid)
    expected = np.corrcoef(grid["learning_rate"], grid["val_accuracy"])[0, 1]
    assert found.loc["learning_rate", "val_accuracy"] == pytest.approx(expected)
    assert found.loc["width", "epochs"] == pytest.approx(0, abs=1e-12)
    assert list(found) == ["width", "learning_rate", "epochs", "val_accuracy"]


def test_best_median_and_worst_are_different_rows():
    grid = table(widths=(10, 20, 30), epochs=(1, 2, 3))
    parts = grid_curves.chosen(grid, grid_curves.Options())
    assert parts["best"]["rank"].tolist() == [1, 2, 3]
    assert parts["median"]["rank"].tolist() == [8, 9, 10]
    assert parts["worst"]["rank"].tolist() == [14, 15, 16, 17, 18]
    few = grid_curves.chosen(table(widths=(10,), epochs=(1,)), grid_curves.Options())
    assert sum(map(len, few.values())) == 2


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
    assert _grid.described(row, columns) == "h 64 × 32, lr 0.1"
