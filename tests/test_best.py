"""Every study has its best run: chosen on validation, its scores on test beside those on val."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cobaye.evaluation import best
from cobaye.planning import needs, targets
from cobaye.planning.plan import Plan
from cobaye.storage import manifests
from cobaye.tables import tabulate, writing
from tests import test_tables
from tests.conftest import ROOT, edit, load
from tests.jobs import job

RUN = {"model": "m", "optimizer": "o"}
TRIALS = {"models": {"m": {}}, "optimizers": {"o": {}}, "epochs": {"o": [3]}}
ALL = "all epochs"


def frames(runs, accuracy):
    """Tables of runs of 3 epochs. runs: (λ, seed, finite); accuracy: of split, run and epoch."""
    keys = [{**RUN, "weight_decay": label, "seed": seed} for label, seed, _ in runs]
    epochs = range(4)
    return {
        "runs": pd.DataFrame(
            {**key, "epochs": 3, "stopped": ALL, "finite": finite}
            for key, (*_, finite) in zip(keys, runs, strict=True)
        ),
        "history": pd.DataFrame(
            {**key, "epoch": epoch, "loss": 1.0, "accuracy": 0.5}
            for key in keys
            for epoch in epochs
        ),
        "metrics": pd.DataFrame(
            {
                **key,
                "epoch": epoch,
                "split": split,
                "loss": 1 - accuracy(split, number, epoch),
                "accuracy": accuracy(split, number, epoch),
                "top5": 1.0,
            }
            for number, key in enumerate(keys)
            for epoch in epochs
            for split in ("val", "test")
        ),
    }


def scored(root, tables, **recipe):
    """Write tables, choose, and return best.csv and the manifest."""
    folder = root / "results/s/tables"
    entries = {
        f"{name}.csv": writing.write_csv(folder / f"{name}.csv", tables[name]) for name in tables
    }
    identity = {"study": "s", "maker": "tables"}
    manifests.Manifest("tabulate", identity, {}, "", {}, entries).write(folder / "tables.json")
    told = {"tables": list(tables), "trials": TRIALS, "data": None, **recipe}
    path = best.evaluate_best(job("evaluate_best", {"study": "s"}, told, root))
    text = pd.read_csv(path.with_name("best.csv"), dtype={"weight_decay": str})
    return text, manifests.read_manifest(path, "evaluate_best", {"study": "s"})


def test_the_run_of_highest_val_accuracy_with_its_scores_on_test(tmp_path):
    """On test another run is better, and on val too at an earlier epoch: neither counts."""

    def accuracy(split, run, epoch):
        if split == "test":
            return (0.9, 0.6, 0.8)[run]
        return (0.5, 0.7, 0.6)[run] if epoch == 3 else 0.99 - run / 100

    found, _ = scored(
        tmp_path, frames([("0", 0, True), ("1e-3", 0, True), ("0", 1, True)], accuracy)
    )
    row = found.iloc[0]
    assert (len(found), row["weight_decay"], row["seed"], row["epoch"]) == (1, "1e-3", 0, 3)
    assert row["val_accuracy"] == 0.7
    assert row["test_accuracy"] == 0.6
    assert row["test_loss"] == pytest.approx(0.4)
    assert row["test_top5"] == 1.0
    assert row["chosen_on"] == "highest val accuracy of 3; ties: lower val loss"


def test_ties_go_to_the_lower_loss_then_to_the_order_of_the_config(tmp_path):
    tables = frames([("0", 0, True), ("1e-3", 0, True), ("1e-2", 0, True)], lambda *_: 0.5)
    metrics = tables["metrics"]
    metrics.loc[metrics["weight_decay"] != "0", "loss"] = 0.4
    assert scored(tmp_path, tables)[0]["weight_decay"].tolist() == ["1e-3"]


def test_a_run_that_diverged_is_no_best_and_none_leaves_no_row(tmp_path):
    accuracy = lambda split, run, epoch: 0.9 - run / 10  # noqa: E731
    found, _ = scored(tmp_path, frames([("0", 0, False), ("1e-3", 0, True)], accuracy))
    assert found["weight_decay"].tolist() == ["1e-3"]
    assert found["chosen_on"].item().startswith("highest val accuracy of 1;")
    found, _ = scored(tmp_path, frames([("0", 0, False), ("1e-3", 0, False)], accuracy))
    assert found.empty


def test_where_the_epoch_is_chosen_the_scores_are_of_that_epoch(tmp_path):
    tables = frames([("0", 0, True), ("1e-3", 0, True)], lambda split, run, epoch: epoch % 3 / 4)
    tables["runs"]["epoch"] = 2
    found, _ = scored(tmp_path, tables)
    assert found["epoch"].item() == found["lowest_val_loss_epoch"].item() == 2
    assert found["test_accuracy"].item() == 0.5


def test_every_study_has_it_and_none_scores_test_twice(folder):
    config = load(folder)
    plan = Plan(config, ROOT / "workflow/scripts")
    for study in ("tiny", "tiny-backbone", "tiny-images"):
        assert f"results/{study}/best/best.csv" in targets.of_study(config, study)
        told = plan.stage("evaluate_best", study=study)
        assert told.recipe["data"] is None
        assert told.recipe["tables"] == ["runs", "history", "metrics"]
        assert needs.evaluate_best(config, study) == needs.LIGHT
    edit(folder, "studies/tiny-images.yaml", "dataset:", "evaluate_splits: [val]\ndataset:")
    edit(folder, "studies/tiny-images.yaml", "test-curves", "train-curves")
    told = Plan(load(folder), ROOT / "workflow/scripts").stage("evaluate_best", study="tiny-images")
    assert told.recipe["data"] == {"linear": {"dataset": "tiny-digits", "backbone": None}}


def test_where_the_scores_are_known_torch_is_not_imported():
    code = "import sys, cobaye.evaluation.best; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_best_lambda_has_its_val_accuracy():
    metrics = test_tables.metrics({"0": 1.0, "1e-3": 0.5}, {"0": 2.0, "1e-3": 3.0}, (0, 1))
    on_val = (metrics["split"] == "val") & (metrics["epoch"] == 2)
    metrics.loc[on_val, "accuracy"] = np.where(metrics.loc[on_val, "seed"] == 0, 0.8, 0.9)
    runs = test_tables.runs(["0", "1e-3"], (0, 1))
    found = tabulate.best_lambda(tabulate.final_metrics(metrics, runs))
    assert found["val_accuracy"].item() == pytest.approx(0.85)
    assert found["test_accuracy"].item() == 0.5


@pytest.mark.slow
def test_through_the_workflow_it_is_a_row_of_the_tables(built):
    """Of a study without a grid."""
    found = pd.read_csv(built.path("results/tiny/best/best.csv"), dtype={"weight_decay": str})
    metrics = pd.read_csv(
        built.path("results/tiny/tables/metrics.csv"), dtype={"weight_decay": str}
    )
    last = metrics[metrics["epoch"] == 4].set_index(["split", "weight_decay"])
    val = last.loc["val"].sort_values(["accuracy", "loss"], ascending=[False, True])
    row = found.iloc[0]
    assert row["weight_decay"] == val.index[0]
    assert row["test_accuracy"] == last.loc[("test", val.index[0]), "accuracy"]
