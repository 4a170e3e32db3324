"""A grid is the product of its values, and shorter trainings are read off the longest one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from cobaye import figures, recipes
from cobaye.config import Config
from cobaye.errors import ConfigError, DataError
from cobaye.evaluation import best
from cobaye.planning import hyperparameters, runs
from cobaye.planning.plan import Plan
from cobaye.storage import manifests, paths
from cobaye.tables import grid_table, reading, writing
from cobaye.training import loop
from cobaye.training.origins import grid as grid_origin
from tests.conftest import ROOT
from tests.jobs import job
from tests.test_training import IDENTITY, TRAINING, root  # noqa: F401 (a fixture)

STUDY = """
dataset: digits
models:
  mlp: {kind: mlp, grid: {widths: [[8], [16, 4]]}}
  softmax: {kind: linear}
optimizers:
  sgd:
    algorithm: {kind: sgd}
    learning_rate: 0.5
    batch_size: 16
    epochs: 7
    grid: {learning_rate: [0.1, 1e-2], algorithm.momentum: [0, 0.9], epochs: [4, 1, 2]}
weight_decays: ["0"]
evaluate_splits: [val]
figures: [train-curves]
"""


@pytest.fixture
def study(tmp_path):
    """Read a study from its text, some of it replaced."""

    def read(*changes):
        text = STUDY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "studies").mkdir(exist_ok=True)
        (tmp_path / "studies/s.yaml").write_text(text)
        (tmp_path / "datasets.yaml").write_text("digits: {kind: digits}\n")
        (tmp_path / "backbones.yaml").write_text("")
        config = Config({"studies": ["s"]}, tmp_path, figures.names())
        return config.studies["s"], Plan(config, ROOT / "workflow/scripts")

    return read


def test_a_grid_is_the_product_of_its_values_in_the_order_of_the_config(study):
    found, _ = study()
    assert list(found.models) == ["mlp-w8", "mlp-w16x4", "softmax"]
    assert list(found.optimizers) == [
        "sgd-lr0.1-momentum0",
        "sgd-lr0.1-momentum0.9",
        "sgd-lr0.01-momentum0",
        "sgd-lr0.01-momentum0.9",
    ]
    last = found.optimizers["sgd-lr0.01-momentum0.9"]
    assert (last.learning_rate, last.algorithm.options["momentum"], last.epochs) == (0.01, 0.9, 4)
    assert found.models["mlp-w16x4"].options["widths"] == [16, 4]
    assert found.grid.epochs == dict.fromkeys(found.optimizers, (1, 2, 4))
    assert len(found.runs()) == 12


def test_columns_are_what_is_varied(study):
    found, _ = study()
    columns = hyperparameters.columns(found)
    assert columns["models"] == {
        "mlp-w8": {"width_1": 8, "width_2": None},
        "mlp-w16x4": {"width_1": 16, "width_2": 4},
        "softmax": {"width_1": None, "width_2": None},
    }
    assert columns["optimizers"]["sgd-lr0.1-momentum0"] == {"learning_rate": 0.1, "momentum": 0}
    one, _ = study(("[8], [16, 4]", "[8], [16]"))
    assert hyperparameters.columns(one)["models"]["mlp-w16"] == {"width": 16}


def test_a_smaller_number_of_epochs_is_no_part_of_a_training(study):
    """Adding one retrains nothing: neither recipe nor path of a run knows it; the table does."""
    before, after = study()[1], study(("[4, 1, 2]", "[4, 3, 1, 2]"))[1]
    varied = before.config.studies["s"].runs()
    assert varied == after.config.studies["s"].runs()
    for run in varied:
        for rule in ("train", "evaluate"):
            identity = runs.identity("s", run)
            assert before.stage(rule, **identity) == after.stage(rule, **identity)
    tables = {"study": "s", "maker": "tables"}
    assert before.stage("tabulate", **tables) != after.stage("tabulate", **tables)


REFUSED = [
    (("learning_rate: [", "learning_rat: ["), ["optimizers.sgd.grid", "'learning_rate'"]),
    (("algorithm.momentum", "algorithm.momentun"), ["sgd.grid.algorithm", "'momentum'"]),
    (("{widths: [[8]", "{width: [[8]"), ["models.mlp.grid", "'widths'"]),
    (("[0.1, 1e-2]", "[]"), ["grid.learning_rate", "one or more"]),
    (("[0.1, 1e-2]", "0.1"), ["grid.learning_rate", "0.1", "one or more"]),
    (("[0.1, 1e-2]", "[0.01, 1e-2]"), ["optimizers.sgd.grid", "sgd-lr0.01-momentum0"]),
    (("[0.1, 1e-2]", "[0.1, -1]"), ["sgd-lr--1-momentum0.learning_rate", "greater than 0"]),
    (("[0, 0.9]", "[0, 1.5]"), ["sgd-lr0.1-momentum1.5.algorithm", "momentum must be in"]),
    (("[8], [16, 4]", "[8], [0]"), ["models.mlp-w0", "widths must be"]),
    (("[4, 1, 2]", "[4, 0]"), ["grid.epochs", "at least 1"]),
    (("[4, 1, 2]", "[4, 4]"), ["grid.epochs", "different"]),
    (("softmax: {", "mlp-w8: {"), ["models.mlp-w8", "two entries"]),
    (("epochs: 7", "epochs: 7\n    schedule: {kind: cosine}"), ["'cosine'", "[1, 2, 4]"]),
    (("[val]", "[test]"), ["evaluate_splits", "val is missing"]),
    (("[val]", "[val, val]"), ["evaluate_splits", "twice"]),
    (("[train-curves]", "[class-loss-test]"), ["'class-loss-test'", "'test'", "['val']"]),
    (("[train-curves]", "[confusion]"), ["'confusion'", "'test'"]),
    (("[train-curves]", "[test-curves]"), ["'test-curves'", "'test'"]),
    (("figures:", "sample: {count: 13}\nfigures:"), ["sample.count", "13", "12 pairs"]),
    (("figures:", "sample: {counts: 3}\nfigures:"), ["sample.counts", "unknown key"]),
]


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=lambda each: str(each)[:40])
def test_bad_grids_get_one_clear_message(study, change, said):
    with pytest.raises(ConfigError) as found:
        study(change)
    for part in ["s.yaml", *said]:
        assert part in str(found.value)


def test_one_number_of_epochs_may_go_with_any_schedule(study):
    found, _ = study(("epochs: 7", "schedule: {kind: cosine}\n    epochs: 7"), ("[4, 1, 2]", "[4]"))
    assert {each.epochs for each in found.optimizers.values()} == {4}


def test_large_and_small_numbers_have_different_names(study):
    found, _ = study(("[0.1, 1e-2]", "[1.0e+30, 1.0e-30]"))
    assert list(found.optimizers)[::2] == ["sgd-lr1e30-momentum0", "sgd-lr1e-30-momentum0"]


def test_values_of_every_type_have_names(study):
    found, _ = study(
        ("{widths: [[8], [16, 4]]}", "{activation: [relu, tanh], batch_norm: [true]}"),
        ("algorithm.momentum: [0, 0.9]", "schedule: [{kind: constant}, {kind: step, gamma: 0.5}]"),
    )
    names = [f"mlp-activation-{each}-batch-norm-true" for each in ("relu", "tanh")]
    assert list(found.models)[:2] == names
    assert list(found.optimizers)[1] == "sgd-lr0.1-schedule-step-gamma0.5"
    assert hyperparameters.columns(found)["optimizers"]["sgd-lr0.1-schedule-constant"] == {
        "learning_rate": 0.1,
        "schedule": "constant",
    }


def test_a_sample_is_drawn_by_its_seed_alone(study):
    """A known draw, so that another machine or version that draws otherwise is noticed."""

    def drawn(count, seed):
        sample = ("figures:", f"sample: {{count: {count}, seed: {seed}}}\nfigures:")
        return study(sample)[0].pairs

    every = [(run.model, run.optimizer) for run in study()[0].runs()]
    assert drawn(3, 0) == (
        ("mlp-w8", "sgd-lr0.1-momentum0"),
        ("mlp-w16x4", "sgd-lr0.01-momentum0"),
        ("mlp-w16x4", "sgd-lr0.01-momentum0.9"),
    )
    assert set(drawn(3, 0)) < set(drawn(7, 0))
    assert drawn(3, 0) != drawn(3, 1)
    assert list(drawn(12, 5)) == every
    assert list(drawn(7, 5)) == [pair for pair in every if pair in drawn(7, 5)]


def test_a_prefix_of_a_training_is_a_training_byte_for_byte(root):  # noqa: F811
    """The promise behind reading epochs off: the same bytes as of a training with fewer epochs."""
    folders = {}
    for epochs in (2, 4):
        recipe = dataclasses.replace(
            TRAINING,
            engine="network",
            model=recipes.Kind("mlp", {"widths": (5,), "dropout": 0.2}),
            optimizer=dataclasses.replace(TRAINING.optimizer, epochs=epochs),
        )
        identity = {**IDENTITY, "optimizer": f"sgd-{epochs}"}
        folders[epochs] = loop.train(job("train", identity, recipe, root)).parent
    for epoch in range(3):
        name = f"checkpoints/{paths.checkpoint(epoch)}"
        assert (folders[2] / name).read_bytes() == (folders[4] / name).read_bytes()
    short, long = ((folders[n] / "history.csv").read_text().splitlines() for n in (2, 4))
    assert short == long[: len(short)]
    assert len(long) == len(short) + 2


KEY = {"model": "m", "optimizer": "o", "weight_decay": "0", "seed": 0}
GRID = {
    "models": {"m": {"width": 8}},
    "optimizers": {"o": {"learning_rate": 0.1}},
    "epochs": {"o": [1, 2, 4]},
}


def raw(stopped="all epochs", epochs=4):
    """Return a run whose validation loss is lowest after epoch 2."""
    each = range(epochs + 1)
    finite = stopped == "all epochs"
    loss = [3.0, 2.0, 1.0, 1.5, 1.8][: epochs + 1]
    if not finite:
        loss[-1] = math.nan
    return {
        "runs": pd.DataFrame([{**KEY, "epochs": epochs, "stopped": stopped, "finite": finite}]),
        "history": pd.DataFrame(
            [{**KEY, "epoch": e, "loss": loss[e] - 0.5, "accuracy": e / 10} for e in each]
        ),
        "metrics": pd.DataFrame(
            [
                {**KEY, "epoch": e, "split": split, "loss": loss[e] + off, "accuracy": e / 8}
                for split, off in (("val", 0), ("train", 9))
                for e in each
            ]
        ),
    }


def test_the_table_reads_every_number_of_epochs_off_one_run():
    found = grid_table.table(raw(), GRID)
    assert list(found["epochs"]) == list(found["epoch"]) == [1, 2, 4]
    assert list(found["val_loss"]) == [2.0, 1.0, 1.8]
    assert list(found["train_loss"]) == [1.5, 0.5, 1.3]
    assert list(found["val_accuracy"]) == [1 / 8, 2 / 8, 4 / 8]
    assert list(found["lowest_val_loss_epoch"]) == [1, 2, 2]
    assert list(found["rank"]) == [3, 2, 1]
    assert found["finite"].all()
    assert set(found["stopped"]) == {"all epochs"}
    assert [column for column in found if "test" in column] == []


def test_a_run_that_diverged_is_finite_before_it_did():
    found = grid_table.table(raw("diverged in epoch 2", 2), GRID)
    assert list(found["epoch"]) == [1, 2, 2]
    assert list(found["stopped"]) == ["all epochs", "diverged in epoch 2", "diverged in epoch 2"]
    assert list(found["finite"]) == [True, False, False]
    assert list(found["rank"].fillna(0)) == [1, 0, 0]


def test_ranks_go_by_accuracy_then_loss_then_order():
    found = pd.DataFrame(
        {
            "val_accuracy": [0.9, 0.95, 0.9, 0.9, 1.0],
            "val_loss": [0.5, 9.0, 0.4, 0.5, 0.1],
            "finite": [True, True, True, True, False],
        }
    )
    assert grid_table.rank(found).fillna(0).tolist() == [3, 1, 2, 4, 0]


def test_whole_numbers_stay_whole(tmp_path):
    grid = {**GRID, "models": {"m": {"width_1": 8, "width_2": None}}}
    found = grid_table.table(raw(), grid)
    writing.write_csv(tmp_path / "grid.csv", found)
    again = grid_table.whole_numbers(pd.read_csv(tmp_path / "grid.csv"))
    assert again["width_1"].tolist() == [8, 8, 8]
    assert "8.0" not in (tmp_path / "grid.csv").read_text()


def test_no_grid_no_rows():
    found = grid_table.table(raw(), None)
    assert found.empty
    assert "val_accuracy" in found


def test_only_the_best_on_validation_is_scored_on_test(root, monkeypatch):  # noqa: F811
    """The number is that of `evaluate` on the same checkpoint, and no other checkpoint is read."""
    from cobaye.evaluation import evaluate
    from cobaye.storage import checkpoints

    recipe = dataclasses.replace(TRAINING, optimizer=dataclasses.replace(TRAINING.optimizer))
    folder = loop.train(job("train", IDENTITY, recipe, root)).parent
    manifest = manifests.read_manifest(folder / "train.json", "train", IDENTITY)
    fingerprint = manifests.stage_fingerprint(manifest.recipe, manifest.code)
    asked = recipes.Evaluation(TRAINING.data, "last")
    evaluate.evaluate(job("evaluate", IDENTITY, asked, root, expected=fingerprint))
    metrics = pd.read_parquet(folder / "metrics.parquet")

    row = {**{key: IDENTITY[key] for key in reading.KEYS}, "epochs": 3, "epoch": 3, "finite": True}
    entry = writing.write_csv(
        root / "results/s/tables/grid.csv",
        pd.DataFrame([{**row, "epoch": 1, "rank": 2}, {**row, "rank": 1}]),
    )
    tables = {"study": "s", "maker": "tables"}
    made = manifests.Manifest("tabulate", tables, {}, "", {}, {"grid.csv": entry})
    made.write(root / "results/s/tables/tables.json")
    read = []
    load = checkpoints.load
    monkeypatch.setattr(checkpoints, "load", lambda path: read.append(path.name) or load(path))
    told = {"tables": ["grid"], "trials": None, "data": {"m": recipes.plain(TRAINING.data)}}
    path = best.evaluate_best(job("evaluate_best", {"study": "s"}, told, root))
    found = pd.read_csv(path.with_name("best.csv")).iloc[0]
    expected = metrics[(metrics["epoch"] == 3) & (metrics["split"] == "test")].iloc[0]
    for name in ("loss", "accuracy", "top5"):
        assert found[f"test_{name}"] == pytest.approx(expected[name], rel=1e-12)
    assert read == [paths.checkpoint(3)]
    assert "val accuracy" in found["chosen_on"]
    assert np.isclose(found["epoch"], 3)


def test_a_derived_run_takes_the_row_of_its_place(tmp_path):
    """Of runs that differ in epochs alone the best counts; others and diverged ones have none."""
    rows = [("a", 10, 1), ("a", 20, 2), ("other", 10, 3), ("b", 10, 4), ("c", 10, None)]
    grid = pd.DataFrame(rows, columns=["model", "epochs", "rank"])
    grid = grid.assign(optimizer="o", weight_decay="0", seed=0).astype({"rank": "Int64"})
    folder = tmp_path / "results/s/tables"
    entry = writing.write_csv(folder / "grid.csv", grid)
    identity = {"study": "s", "maker": "tables"}
    made = manifests.Manifest("tabulate", identity, {}, "", {}, {"grid.csv": entry})
    made.write(folder / "tables.json")

    def taken(place):
        identity = {"study": "s", "model": f"best-{place}", "seed": 0}
        recipe = {"place": place, "among": ["a", "b", "c"]}
        return grid_origin.take(job("train", identity, recipe, tmp_path))

    assert [(row["model"], row["epochs"]) for row in (taken(1), taken(2))] == [("a", 10), ("b", 10)]
    with pytest.raises(DataError, match="place 3, but only 2"):
        taken(3)
