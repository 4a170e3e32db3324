"""Every key of a training recipe works in a study, as a user would write it."""

from __future__ import annotations

import pandas as pd
import pytest

from cobaye.storage import files

STUDY = """
dataset: tiny-digits
penalize_scales: false
models:
  linear: {kind: linear}
optimizers:
  watched:
    weight_decays: ["1e-3"]
    algorithm: {kind: adamw}
    learning_rate: 0.1
    schedule: {kind: plateau, quantity: val_accuracy, patience: 1}
    batch_size: 64
    epochs: 20
    normalize: zca
    zca_epsilon: 0.01
    l1: 1.0e-4
    max_norm: 2
    stop:
      early: {quantity: val_loss, patience: 1, min_delta: 0.01}
    augment:
      - {kind: crop, padding: 1}
      - {kind: horizontal-flip, probability: 0.1}
      - {kind: vertical-flip, probability: 0.1}
      - {kind: rotation, degrees: 10}
      - {kind: zoom}
      - {kind: colour, brightness: 0.1}
  accurate:
    weight_decays: ["1e-3"]
    algorithm: {kind: adam}
    learning_rate: 0.01
    batch_size: 64
    epochs: 40
    normalize: channel
    stop: {train_accuracy: 0.9}
  phased:
    weight_decays: ["0"]
    phases:
      - {algorithm: {kind: sgd}, learning_rate: 0.1, epochs: 2}
      - {algorithm: {kind: layca, base: adam}, learning_rate: 0.01, weight_decay: true}
    batch_size: 64
    epochs: 3
    normalize: channel
weight_decays: ["0", "1e-3"]
figures: [train-curves, test-curves]
"""
WATCHED = """
dataset: tiny-glyphs
backbone: tiny-backbone
models:
  linear: {kind: linear}
optimizers:
  blind: &blind
    algorithm: {kind: adagrad}
    learning_rate: 0.1
    batch_size: 16
    epochs: 2
  watched:
    <<: *blind
    stop: {early: {patience: 1}}
weight_decays: ["0"]
"""


@pytest.mark.slow
def test_a_study_with_every_key_of_a_recipe(fresh):
    fresh.path("config/studies/recipes.yaml").write_text(STUDY)
    fresh.run("recipes")
    assert fresh.jobs("recipes") == {}
    tables = fresh.path("results/recipes/tables")
    runs = pd.read_csv(tables / "runs.csv", dtype={"weight_decay": str}).set_index("optimizer")
    assert runs["finite"].all()
    assert runs.loc["accurate", "stopped"] == "training accuracy 0.9 reached"
    assert runs.loc["watched", "stopped"] == "early: val loss has not fallen for 1 epoch"
    assert runs.loc["accurate", "epochs"] > runs.loc["watched", "epochs"]
    history = pd.read_csv(tables / "history.csv")
    metrics = pd.read_csv(tables / "metrics.csv")
    for optimizer, epochs in runs["epochs"].items():
        own = history[history["optimizer"] == optimizer]
        assert own["epoch"].tolist() == list(range(epochs + 1))
        assert own["val_loss"].notna().sum() == (epochs if optimizer == "watched" else 0)
        assert metrics[metrics["optimizer"] == optimizer]["epoch"].max() == epochs
    # The best λ is read off each run's own last epoch.
    best = pd.read_csv(tables / "best-lambda.csv").set_index("optimizer")
    val = metrics[metrics["split"] == "val"].set_index(["optimizer", "epoch"])["loss"]
    for optimizer, epochs in runs["epochs"].items():
        assert best.loc[optimizer, "val_loss"] == pytest.approx(val[(optimizer, epochs)])
    engines = {
        name: files.read_json(
            fresh.path(f"results/recipes/runs/linear/{name}/wd-{label}/seed-0/train.json")
        )["recipe"]["engine"]
        for name, label in runs["weight_decay"].items()
    }
    assert engines == {"watched": "network", "accurate": "linear", "phased": "network"}
    rates = history[history["optimizer"] == "phased"]["learning_rate"].tolist()
    assert rates == [0, 0.1, 0.1, 0.01]


@pytest.mark.slow
def test_only_a_run_that_watches_val_waits_for_its_features(fresh):
    fresh.path("config/studies/watched.yaml").write_text(WATCHED)
    run = "results/watched/runs/linear/{}/wd-0/seed-0/train.json"
    assert fresh.jobs(run.format("blind"))["gather_features"] == 1
    assert fresh.jobs(run.format("watched"))["gather_features"] == 2
