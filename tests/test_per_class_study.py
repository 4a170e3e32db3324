"""A study with a λ for each class trains what its ways chose, and judges it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.conftest import READ

STUDY = """
dataset: tiny-digits
models:
  linear: {kind: linear}
optimizers:
  exact:
    algorithm: {kind: exact, gradient_norm: 1.0e-4}
    normalize: global
weight_decays: ["1e-2", "1e-1"]
train_epochs: last
per_class:
  val:
  shrunk:
  hypergradient: {folds: 2, steps: 1}
  groups:
  clustered: {groups: 2}
  predicted: {by: margin}
  refit:
analyses: {classes: {draws: 100, splits: 20}, per-class: {}, rivals: {draws: 100},
  how-many: {draws: 100}}
figures: [per-class-lambda, rivals, how-many]
"""
FILE = "config/studies/tiny-per-class.yaml"
STUDY_FOLDER = "results/tiny-per-class"
RUNS = f"{STUDY_FOLDER}/runs/linear/exact"


def manifest(project, path):
    return json.loads(project.path(path).read_text())


def final_loss(path):
    table = pd.read_parquet(path)
    return table[(table["split"] == "test") & (table["epoch"] == 1)]["loss"].iloc[0]


@pytest.mark.slow
def test_a_lambda_for_each_class(fresh):
    fresh.path(FILE).write_text(STUDY)
    fresh.run("tiny-per-class")
    assert fresh.jobs("tiny-per-class") == {}
    table = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/rivals.csv"), dtype={"best": str})
    untrained = ["one", "temperature", "bias", "joint", "mix"]
    ways = ["val", "shrunk", "hypergradient", "groups", "clustered", "predicted", "refit"]
    assert list(table["rival"]) == [*untrained, *ways]
    assert list(table["seeds"]) == [1] * 12
    assert list(table["rival"][table["val_loss"].isna()]) == ["refit"]
    for way in ways:
        chosen = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/chosen-{way}.csv"))
        folder = f"{RUNS}/wd-per-class-{way}/seed-0"
        run = manifest(fresh, f"{folder}/run.json")
        np.testing.assert_allclose(run["origin"]["weight_decay"], chosen["weight_decay"], rtol=READ)
        trained = manifest(fresh, f"{folder}/train.json")
        assert f"{STUDY_FOLDER}/tables/chosen-{way}.json" in trained["inputs"]
        assert trained["info"]["certificate"]["gradient_norm"] <= 1e-4
        # Its loss is what evaluate found, and its difference that of the two runs.
        own, one = (
            final_loss(fresh.path(f"{RUNS}/wd-{label}/seed-0/metrics.parquet"))
            for label in (f"per-class-{way}", table["best"].iloc[0])
        )
        row = table.set_index("rival").loc[way]
        assert row["loss_difference"] == pytest.approx(own - one, abs=1e-6)
    # The analysis chooses the same, from what it holds in memory.
    gains = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/class-gains.csv"))
    for way, choice in (("val", "honest"), ("shrunk", "shrunk")):
        chosen = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/chosen-{way}.csv"))
        assert list(chosen["weight_decay"]) == list(gains[choice].astype(float))
    tried = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/how-many.csv"))
    assert {"curves", "separation", "margin"} <= set(tried["grouping"])
    lambdas = pd.read_csv(fresh.path(f"{STUDY_FOLDER}/tables/per-class-lambda.csv"))
    assert list(lambdas["choice"]) == [way for way in ways for _ in range(10)]
    told = fresh.path(f"{STUDY_FOLDER}/story.md").read_text()
    assert "**Beside one λ.**" in told
    for figure in ("per-class-lambda", "rivals", "how-many"):
        assert fresh.path(f"{STUDY_FOLDER}/figures/{figure}.svg").exists()
    # Options of a way concern that way; the tables that λ are chosen from, none of it.
    fresh.edit(FILE, "steps: 1", "steps: 2")
    assert fresh.jobs("tiny-per-class") == {
        "choose_weight_decay": 1,
        "train": 1,
        "evaluate": 1,
        "analyse_per_class": 1,
        "analyse_rivals": 1,
        "tell_story": 1,
        "write_explorer": 1,
        "plot_how_many": 1,
        "plot_per_class_lambda": 1,
        "plot_rivals": 1,
    }


def refused(project, old, new):
    project.path(FILE).write_text(STUDY.replace(old, new))
    done = project.run("-n", "tiny-per-class", check=False)
    assert done.returncode != 0
    return done.stdout


def test_what_cannot_be_is_refused_by_name(fresh):
    assert "'shrunken'" in refused(fresh, "  shrunk:", "  shrunken:")
    text = refused(fresh, "{classes: {draws: 100, splits: 20}, ", "{")
    assert "per_class.shrunk: needs 'classes' in analyses" in text
    text = refused(fresh, "folds: 2", "folds: 1")
    assert "folds: at least 2" in text
