"""A study's analyses of single runs say what its checkpoints hold, and notice changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cobaye.storage import checkpoints

pytestmark = pytest.mark.slow
RUN = "results/tiny-images/runs/linear/sgd/wd-1e-3/seed-0"
TABLE = "results/tiny-images/tables/rotation.csv"
PRUNING = "results/tiny-images/tables/pruning.csv"


@pytest.fixture(scope="module")
def measured(built, tmp_path_factory):
    """The tiny project with a second λ, its weights looked at."""
    project = built.clone(tmp_path_factory.mktemp("measured") / "project")
    project.edit("config/studies/tiny-images.yaml", "analyses: []", "analyses: [weights, pruning]")
    project.run(TABLE, PRUNING)
    return project


def test_the_table_says_what_the_checkpoints_hold(measured):
    table = pd.read_csv(measured.path(TABLE), dtype={"weight_decay": str})
    assert table["weight_decay"].eq("1e-3").all()
    assert table["name"].eq("head").all()
    for epoch in range(3):
        kernel = checkpoints.load(measured.path(f"{RUN}/checkpoints/epoch-{epoch:03d}.safetensors"))
        (own,) = [each for each in kernel.values() if each.shape == (10, 64)]
        (found,) = table.loc[table["epoch"] == epoch, "norm"]
        np.testing.assert_allclose(found, own.double().norm().item(), rtol=1e-12)


def test_a_network_of_which_nothing_is_pruned_is_the_one_that_was_evaluated(measured):
    table = pd.read_csv(measured.path(PRUNING))
    metrics = pd.read_csv(measured.path("results/tiny-images/tables/metrics.csv"))
    (last,) = metrics.query("split == 'test' and epoch == 2").itertuples()
    whole = table[table["fraction"] == 0]
    assert len(whole) == 6
    assert whole["accuracy"].eq(last.accuracy).all()
    np.testing.assert_allclose(whole["loss"], last.loss, rtol=1e-5)
    random = table.query("how == 'random' and fraction == 0.9")
    assert random["accuracy"].nunique() > 1
    assert random["accuracy"].mean() < last.accuracy


def test_one_more_run_is_measured_alone(measured, tmp_path):
    copied = measured.clone(tmp_path / "copied")
    assert copied.jobs(TABLE) == {}
    copied.edit("config/studies/tiny-images.yaml", '["1e-3"]', '["1e-3", "1e-2"]')
    assert copied.jobs(TABLE) == {"train": 1, "inspect_weights": 1, "analyse_weights": 1}


def test_a_measure_notices_that_its_run_was_trained_otherwise(measured, tmp_path):
    copied = measured.clone(tmp_path / "copied", records=False)
    copied.edit("config/studies/tiny-images.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    assert copied.jobs(TABLE) == {"train": 1, "inspect_weights": 1, "analyse_weights": 1}


def test_a_changed_table_of_a_run_is_noticed(measured, tmp_path):
    copied = measured.clone(tmp_path / "copied")
    path = copied.path(f"{RUN}/inside/weights/trained/rotation.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    copied.path(TABLE).unlink()
    said = copied.run(TABLE, check=False)
    assert said.returncode
    log = copied.path("results/logs/analyse/tiny-images/weights.log").read_text()
    assert "rotation.parquet" in log
    assert "expected" in log
