"""The figures that compare optimizers and models show each pair as one curve, named apart."""

import numpy as np
import pandas as pd
import pytest

from cobaye.figures import _configuration_curves, _panels, _style, ablation
from tests.drawing import drawn, texts

RUN = ["model", "optimizer", "weight_decay", "seed"]
PAIRS = (("convnet", "base"), ("convnet", "normalized"), ("convnet", "decay"), ("dropout", "decay"))
EPOCHS = 6


def tables(pairs=PAIRS, seeds=(0,), lambdas=("0",), diverged=()):
    """A study in which pair i ends at 50 + 5 i % on test, 60 + 5 i % on train; λ = 0 is best.

    diverged: (pair, seed) whose runs stop in epoch 3.
    """
    rows = {"history": [], "metrics": [], "runs": []}
    for i, pair in enumerate(pairs):
        for label in lambdas:
            for seed in seeds:
                _run(rows, (*pair, label, seed), i, (pair, seed) in diverged)
    columns = {
        "history": "epoch loss accuracy learning_rate",
        "metrics": "epoch split loss accuracy",
        "runs": "epochs stopped finite",
    }
    made = {name: pd.DataFrame(rows[name], columns=[*RUN, *columns[name].split()]) for name in rows}
    finite = made["runs"][made["runs"]["finite"]]
    best = finite[["model", "optimizer"]].drop_duplicates().assign(weight_decay="0")
    return made | {"best-lambda": best}


def _run(rows, run, i, bad):
    last, worse = 3 if bad else EPOCHS, 0.3 * (run[2] != "0")
    rows["runs"].append((*run, last, "diverged in epoch 3" if bad else "all epochs", not bad))
    for epoch in range(last + 1):
        loss = np.nan if bad and epoch == last else 3 / (1 + epoch) + 0.1 * i + worse
        shift = 0.02 * (run[3] - 0.5) - worse if run[3] else -worse
        reached = 0.5 + 0.05 * i + shift - 0.04 * (EPOCHS - epoch)
        history = (np.nan,) * 2 if epoch == 0 else (loss, reached + 0.1)
        rows["history"].append((*run, epoch, *history, 0.1 / (1 + i * epoch)))
        for split in ("val", "test"):
            rows["metrics"].append((*run, epoch, split, loss + 1, reached))
    rows["metrics"].append((*run, last, "train", loss, reached + 0.1))


def lines(ax):
    """The curves of a panel, (epochs, 2) each; crosses are left out."""
    return [line.get_xydata() for line in ax.lines if line.get_marker() in ("None", "o")]


def test_every_pair_is_a_curve_of_its_own_in_every_panel():
    given = tables()
    figure = drawn("optimizer-curves", given)
    for ax, split, column in zip(
        figure.axes, ("train", "train", "test", "test"), ("accuracy", "loss") * 2, strict=True
    ):
        table = given["history" if split == "train" else "metrics"]
        table = table[table["epoch"] > 0]
        table = table[table["split"] == split] if split == "test" else table
        assert split in ax.get_ylabel()
        for pair, curve in zip(PAIRS, lines(ax), strict=True):
            mine = table[(table["model"] == pair[0]) & (table["optimizer"] == pair[1])]
            expected = mine[["epoch", column]].to_numpy(float)
            expected[:, 1] *= 100 if column == "accuracy" else 1
            np.testing.assert_allclose(curve, expected)


ENDS = (("convnet · normalized", 50), ("convnet · decay", 55), ("dropout · decay", 60))


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (PAIRS[:3], ["base: 50.0 %", "normalized: 55.0 %", "decay: 60.0 %"]),
        (PAIRS[2:], ["convnet: 50.0 %", "dropout: 55.0 %"]),
        (PAIRS[1:], [f"{name}: {end}.0 %" for name, end in ENDS]),
    ],
)
def test_a_curve_is_named_by_what_tells_it_from_the_others(pairs, named):
    figure = drawn("optimizer-curves", tables(pairs))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == named


def test_the_looks_of_twelve_curves_differ():
    looks = [tuple(map(str, _style.category(index, index).values())) for index in range(12)]
    assert len(set(looks)) == 12


@pytest.mark.parametrize("figure", ["optimizer-curves", "schedules"])
def test_a_diverged_run_ends_in_a_cross_with_its_reason(figure):
    result = drawn(figure, tables(diverged=[(PAIRS[1], 0)]))
    assert any("× diverged in epoch 3" in text for text in texts(result))
    for ax in result.axes:
        (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
        # Of its last epoch the loss is not finite; the rate and the accuracy are.
        assert cross.get_xdata()[0] == (2 if "entropy" in ax.get_ylabel() else 3)


def test_of_seeds_that_diverged_the_legend_says_how_many():
    given = tables(seeds=(0, 1), diverged=[(PAIRS[0], 1)])
    figure = drawn("optimizer-curves", given)
    assert "convnet · base: 50.0 %\n× diverged in epoch 3 (1 of 2 seeds)" in texts(figure)
    first = lines(figure.axes[0])[0]
    assert len(first) == EPOCHS  # the other seed's, to its end


def test_a_loss_far_above_the_others_does_not_stretch_the_axis():
    given = tables()
    metrics = given["metrics"]
    far = (metrics["optimizer"] == "normalized") & (metrics["epoch"] == 2)
    given["metrics"] = metrics.assign(loss=metrics["loss"].where(~far, 1e12))
    top = drawn("optimizer-curves", given).axes[3].get_ylim()[1]
    assert top < 10
    assert lines(drawn("optimizer-curves", given).axes[3])[1][1, 1] > top


@pytest.mark.parametrize("figure", ["optimizer-curves", "schedules"])
def test_no_accuracy_and_no_rate_leaves_its_axis(figure):
    """Most of a sweep may stay at chance, with one that learns."""
    given = tables(PAIRS[:3])
    for name, table in (("metrics", given["metrics"]), ("history", given["history"])):
        learns = table["optimizer"] == "decay"
        given[name] = table.assign(accuracy=table["accuracy"].where(learns, 0.02))
    rates = given["history"]["learning_rate"].where(given["history"]["optimizer"] != "base", 50.0)
    given["history"] = given["history"].assign(learning_rate=rates)
    for ax in drawn(figure, given).axes:
        if "entropy" not in ax.get_ylabel():
            bottom, top = ax.get_ylim()
            assert all((bottom < curve[:, 1]).all() for curve in lines(ax))
            assert all((curve[:, 1] < top).all() for curve in lines(ax))


def test_each_pair_is_shown_at_its_best_lambda():
    given = tables(lambdas=("1e-2", "0"), diverged=[(PAIRS[3], 0)])
    figure = drawn("optimizer-curves", given)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[0] == "convnet · base: 50.0 %, λ = 0"
    assert named[3].startswith("dropout · decay, λ = 0\n× diverged")
    np.testing.assert_allclose(lines(figure.axes[2])[0][-1], (EPOCHS, 50))


def test_schedules_are_drawn_as_they_were_used():
    given = tables(PAIRS[:3])
    figure = drawn("schedules", given)
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "learning rate",
        "accuracy on train (%)",
        "accuracy on test (%)",
    ]
    for i, curve in enumerate(lines(figure.axes[0])):
        np.testing.assert_allclose(curve[:, 1], 0.1 / (1 + i * np.arange(1, EPOCHS + 1)))


def test_a_step_is_named_by_what_it_changes():
    groups = [_panels.Configuration(*pair) for pair in (*PAIRS, ("mlp", "base"))]
    found = ["convnet · base", "+ normalized", "+ decay", "+ dropout", "+ mlp · base"]
    assert ablation.names(groups) == found


def test_steps_and_their_changes():
    figure = drawn("ablation", tables(seeds=(0, 1)))
    shown = texts(figure)
    for text in ("50.5", "55.5", "60.5", "65.5"):
        assert text in shown
    assert shown.count("+5.0") == 3
    one = ablation.step(tables(seeds=(0, 1)), _panels.Configuration(*PAIRS[0]), epochs=2)
    assert (one.test, one.train) == pytest.approx((50.5, 60.5))
    assert (one.low, one.high) == pytest.approx((46, 51))


def test_a_step_that_diverged_has_its_reason_and_no_change():
    shown = texts(drawn("ablation", tables(diverged=[(PAIRS[1], 0)])))
    assert "diverged in epoch 3" in shown
    assert "+5.0" in shown  # from decay to dropout; those beside the gap have none
    assert shown.count("–") == 4


def test_runs_of_several_losses_are_not_called_by_one():
    given = tables()
    given["runs"]["loss_name"] = np.where(
        given["runs"]["model"] == "dropout", "squared-error", "cross-entropy"
    )
    labels = [ax.get_ylabel() for ax in drawn("optimizer-curves", given).axes]
    assert labels[1] == "mean loss on train"
    assert _configuration_curves.weight_decay(given, _panels.Configuration(*PAIRS[0])) == "0"
