"""A grid trains in one job per group, and only its best run on validation sees test."""

from __future__ import annotations

import pandas as pd
import pytest

from cobaye.storage import files
from tests.conftest import job_counts, new_project
from tests.drawing import draw_all

pytestmark = pytest.mark.slow

STUDY = """
dataset: tiny-digits
models:
  mlp2: {kind: mlp, grid: {widths: {product: [[4, 6], [5]]}}}
  mlp3: {kind: mlp, grid: {widths: [[4, 3, 5], [6, 3, 5]]}}
optimizers:
  sgd:
    algorithm: {kind: sgd, momentum: 0}
    learning_rate: 0.1
    batch_size: 32
    epochs: 3
    normalize: global
    grid: {learning_rate: [0.1, 1000000], epochs: [1, 3]}
weight_decays: ["1e-3"]
together: true
evaluate_splits: [val]
derived:
  longer: {best: 2, among: [mlp3], epochs: 4}
figures:
  - grid-best-worst
  - derived-curves
"""
TRAIN = [f"train_together_grid_layers{n}" for n in (3, 4)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a grid, built."""
    project = new_project(tmp_path_factory.mktemp("grid") / "project")
    project.path("config/studies/grid.yaml").write_text(STUDY)
    project.output = project.run("grid").stdout
    return project


def table(project, name):
    return pd.read_csv(project.path(f"results/grid/{name}"))


def test_everything_is_made_by_one_job_per_group(project):
    counts = job_counts(project.output)
    assert {name: counts[name] for name in TRAIN} == dict.fromkeys(TRAIN, 1)
    # The derived runs alone have jobs of their own.
    assert counts["train"] == counts["evaluate"] == 2
    assert project.jobs("grid") == {}
    grid = table(project, "tables/grid.csv")
    assert len(grid) == 16
    assert not [column for column in grid if "test" in column]
    assert table(project, "tables/runs.csv")["model"].nunique() == 4


def test_what_diverged_is_a_row_with_its_reason(project):
    grid = table(project, "tables/grid.csv")
    wild = grid[grid["learning_rate"] == 1e6]
    assert not wild.loc[wild["epochs"] == 3, "finite"].any()
    bad = wild[~wild["finite"]]
    assert bad["stopped"].str.startswith("diverged in epoch").all()
    assert bad["rank"].isna().all()
    # Finite as long as they were: a training of one epoch would have ended so.
    early = bad["stopped"] == "diverged in epoch 1"
    assert early.sum() == 2 * (~wild.loc[wild["epochs"] == 1, "finite"]).sum()


def test_the_other_figures_of_a_grid_draw_its_tables(project):
    others = ("grid-scatter", "grid-correlation", "grid-curves", "deep-widths", "random-search")
    draw_all(project.path("results/grid"), others)


def test_derived_runs_repeat_the_best_of_their_kind(project):
    grid, derived = table(project, "tables/grid.csv"), table(project, "tables/derived.csv")
    mine = grid[grid["model"].str.startswith("mlp3")].sort_values("rank")
    mine = mine.drop_duplicates(["model", "optimizer"])[:2]
    assert derived["taken"].tolist() == (mine["model"] + "/" + mine["optimizer"]).tolist()
    assert derived["model"].tolist() == ["longer-1", "longer-2"]
    assert derived["epochs"].tolist() == [4, 4]
    folder = "results/grid/runs/longer-1/epochs-4/wd-1e-3/seed-0"
    run = files.read_json(project.path(folder) / "run.json")
    assert run["origin"]["model"] == mine["model"].iloc[0]
    assert run["recipe"]["optimizer"]["epochs"] == 4
    assert run["recipe"]["engine"] == "network"
    assert set(table(project, "tables/history.csv")["model"]) == set(grid["model"])


def test_the_best_of_all_is_scored_on_test_and_says_what_it_was_chosen_on(project):
    both = pd.concat(table(project, f"tables/{name}.csv") for name in ("grid", "derived"))
    both = both[both["finite"]].sort_values(["val_accuracy", "val_loss"], ascending=[False, True])
    best = table(project, "best/best.csv").iloc[0]
    assert (best["model"], best["optimizer"]) == tuple(both[["model", "optimizer"]].iloc[0])
    assert best["chosen_on"].startswith(f"highest val accuracy of {len(both)}")
    assert 0 <= best["test_accuracy"] <= 1


def test_only_what_depends_on_a_change_runs_again(project, tmp_path):
    """Fewer epochs are read off: no training. Other widths: their group. More derived: those."""
    copy = project.clone(tmp_path / "copy")
    copy.edit("config/studies/grid.yaml", "epochs: [1, 3]", "epochs: [1, 2, 3]")
    jobs = copy.jobs("results/grid/tables/grid.csv")
    assert jobs == {"tabulate": 1}
    copy.edit("config/studies/grid.yaml", "epochs: [1, 2, 3]", "epochs: [1, 3]")
    copy.edit("config/studies/grid.yaml", "epochs: 4}", "epochs: 5}")
    jobs = copy.jobs("grid")
    assert {name for name in jobs if name.startswith(("train", "evaluate"))} == {
        *("train", "evaluate", "evaluate_best")
    }
    copy.edit("config/studies/grid.yaml", "[[4, 6], [5]]", "[[4, 7], [5]]")
    jobs = copy.jobs("results/grid/tables/grid.csv")
    assert {name for name in jobs if name.startswith("train")} == {TRAIN[0]}


def test_a_fresh_clone_notices_an_edited_recipe(project, tmp_path):
    copy = project.clone(tmp_path / "copy", records=False)
    assert copy.jobs("results/grid/tables/grid.csv") == {}
    copy.edit("config/studies/grid.yaml", "normalize: global", "normalize: channel")
    jobs = copy.jobs("results/grid/tables/grid.csv")
    assert {name for name in jobs if name.startswith("train")} == set(TRAIN)


def test_one_run_of_a_group_is_a_target(project, tmp_path):
    """It is asked for by its path, as any other, and its group makes it."""
    copy = project.clone(tmp_path / "copy")
    run = "results/grid/runs/mlp2-w4x5/sgd-lr0.1/wd-1e-3/seed-0"
    copy.path(f"{run}/history.csv").unlink()
    before = copy.files("results/grid/runs")
    copy.run(f"{run}/history.csv")
    after = copy.files("results/grid/runs")
    assert {k: v for k, v in after.items() if k in before} == before
    assert f"{run}/history.csv" in after
