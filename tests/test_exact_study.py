"""A study with `exact` beside SGD is a chain of warm starts that ends in a table and a figure."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.drawing import draw_all

STUDY = """
dataset: tiny-digits
models:
  linear: {kind: linear}
optimizers:
  sgd:
    algorithm: {kind: sgd, momentum: 0.9}
    learning_rate: 0.1
    batch_size: 64
    epochs: 3
    normalize: global
  exact:
    algorithm: {kind: exact, gradient_norm: 1.0e-5, warm_start: true}
    normalize: global
weight_decays: ["1e-3", "1e-2", "1e-1"]
figures: [optimality-gap]
"""
RUNS = "results/tiny-exact/runs/linear/exact"


@pytest.mark.slow
def test_a_warm_started_path_beside_sgd(fresh):
    fresh.path("config/studies/tiny-exact.yaml").write_text(STUDY)
    fresh.run("tiny-exact")
    assert fresh.jobs("tiny-exact") == {}
    table = pd.read_csv(fresh.path("results/tiny-exact/tables/optimality-gap.csv"))
    assert list(table["optimizer"]) == ["sgd"] * 3
    assert (table["objective_gap"] > 0).all()
    assert table["shrinkage"].is_monotonic_increasing
    for label, neighbour in (("1e-3", "1e-2"), ("1e-2", "1e-1")):
        made = json.loads(fresh.path(f"{RUNS}/wd-{label}/seed-0/train.json").read_text())
        assert f"{RUNS}/wd-{neighbour}/seed-0/train.json" in made["inputs"]
        assert made["info"]["certificate"]["gradient_norm"] <= 1e-5
    assert fresh.path("results/tiny-exact/figures/optimality-gap.svg").exists()
    draw_all(fresh.path("results/tiny-exact"), ["train-curves", "test-curves", "weight-norm"])
    # What SGD is told is no business of the path; what begins the path is of all of it.
    fresh.edit("config/studies/tiny-exact.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    assert fresh.jobs("tiny-exact")["train"] == 3
    fresh.edit("config/studies/tiny-exact.yaml", "learning_rate: 0.2", "learning_rate: 0.1")
    fresh.edit("config/studies/tiny-exact.yaml", ', "1e-1"]', ', "2e-1"]')
    # SGD at the new λ, and the whole path, as each begins where the one before it ends.
    assert fresh.jobs("tiny-exact")["train"] == 4
