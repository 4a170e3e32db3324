"""Nothing is stale and nothing is made twice: a change reruns what depends on it, no more."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from cobaye.config import output_keys
from cobaye.storage import files
from tests.conftest import job_counts

pytestmark = pytest.mark.slow

# What comes of the finished runs of a study, figures aside.
AFTER = {"tabulate": 1, "analyse_classes": 1, "analyse_measures": 1, "tell_story": 1}
AFTER |= {"write_explorer": 1, "evaluate_best": 1}
HEAD = {"train": 2, "evaluate": 2, **AFTER}
# Without their analyses, four are not drawn: `rivals`, `how-many`, `answer` over epochs and over
# learning rates; nor, of few classes, `confusion-zoom`.
FIGURES = len(output_keys.LAST_LAYER_FIGURES) - 5


def stages(jobs):
    return {rule: count for rule, count in jobs.items() if not rule.startswith("plot_")}


def plots(jobs):
    return sum(count for rule, count in jobs.items() if rule.startswith("plot_"))


def test_the_whole_chain_ran_each_rule(built):
    jobs = job_counts(built.output)
    for rule in ("prepare_dataset", "prepare_backbone", "cache_features", "gather_features"):
        assert rule in jobs
    for rule in ("train", "evaluate", "tabulate", "plot_confusion"):
        assert rule in jobs
    assert "Training tiny: linear, sgd, λ = 1e-2, seed 0" in built.output
    for suffix in ("svg", "pdf", "png"):
        assert len(list(built.path("results/tiny/figures").glob(f"*.{suffix}"))) == FIGURES


def test_a_second_call_has_nothing_to_do(built):
    assert built.jobs() == {}


def test_touched_files_rerun_nothing(copied):
    for folder in ("results", "resources", "workflow", "config"):
        for file in copied.path(folder).rglob("*"):
            os.utime(file)
    assert copied.jobs() == {}


@pytest.mark.parametrize("records", [True, False])
def test_a_fresh_clone_reruns_nothing(built, tmp_path, records):
    assert built.clone(tmp_path / "clone", records=records).jobs() == {}


@pytest.mark.parametrize("records", [True, False])
def test_an_edited_recipe_is_noticed_in_a_clone(built, tmp_path, records):
    clone = built.clone(tmp_path / "clone", records=records)
    clone.edit("config/studies/tiny.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    jobs = clone.jobs()
    assert stages(jobs) == HEAD
    assert plots(jobs) == FIGURES


@pytest.mark.parametrize("records", [True, False])
def test_an_edited_dataset_reruns_all_that_comes_of_it(built, tmp_path, records):
    clone = built.clone(tmp_path / "clone", records=records)
    clone.edit("config/datasets.yaml", "train: 12", "train: 13")
    assert stages(clone.jobs()) == {
        "prepare_dataset": 1,
        "prepare_backbone": 1,
        "cache_features": 6,
        "gather_features": 3,
        "train": 3,
        "evaluate": 2,
        "evaluate_baseline": 1,
        **AFTER,
    }


def test_damaged_figures_and_stories_are_made_again_and_nothing_else(copied):
    for name in ("figures/confusion.svg", "figures/weight-norm.png", "story.md", "explorer.html"):
        file = copied.path(f"results/tiny/{name}")
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    again = ("plot_confusion", "plot_weight_norm", "tell_story", "write_explorer")
    assert copied.jobs() == dict.fromkeys(again, 1)
    said = copied.run()
    pages = "results/tiny/story.md, results/tiny/explorer.html"
    assert f"More: {pages}" in said.stdout
    assert copied.jobs() == {}


def test_comments_docstrings_and_new_kinds_rerun_nothing(copied):
    copied.edit("workflow/cobaye/training/loop.py", "def batch_order(", "# new\ndef batch_order(")
    copied.edit(
        "workflow/cobaye/storage/files.py", '"""Files that are whole', '"""Files which are whole'
    )
    networks = copied.path("workflow/cobaye/models/networks")
    shutil.copy(networks / "linear.py", networks / "another.py")
    assert copied.jobs() == {}


@pytest.mark.parametrize("records", [True, False])
def test_an_edited_library_function_reruns_what_depends_on_it(built, tmp_path, records):
    clone = built.clone(tmp_path / "clone", records=records)
    clone.edit(
        "workflow/cobaye/tables/writing.py", 'sink, compression="zstd"', 'sink, compression="gzip"'
    )
    jobs = clone.jobs("tiny")
    assert stages(jobs) == {"evaluate": 2, "evaluate_baseline": 1, **AFTER}
    assert plots(jobs) == FIGURES


def test_an_edited_network_reruns_only_its_own_runs(copied):
    copied.edit(
        "workflow/cobaye/models/networks/linear.py", "self.head(inputs.", "self.head(1 * inputs."
    )
    jobs = copied.jobs("tiny")
    # The backbone's own last layer is a linear network too.
    assert stages(jobs) == {**HEAD, "evaluate_baseline": 1}


def test_an_edited_figure_is_drawn_again_alone(copied):
    copied.edit("workflow/cobaye/figures/best_lambda.py", "def draw(", "UNUSED = 1\n\n\ndef draw(")
    assert copied.jobs() == {f"plot_best_lambda_{split}": 1 for split in ("train", "val", "test")}


def test_a_deleted_figure_is_drawn_again_alone(copied):
    copied.path("results/tiny/figures/confusion.svg").unlink()
    figure = "results/tiny/figures/confusion.svg"
    assert copied.jobs(figure) == {"plot_confusion": 1}
    copied.run(figure)
    assert copied.path(figure).exists()


def test_a_new_lambda_trains_and_evaluates_once(copied):
    copied.edit("config/studies/tiny.yaml", '"1e-2"]', '"1e-2", "1e-3"]')
    jobs = copied.jobs()
    assert stages(jobs) == {"train": 1, "evaluate": 1, **AFTER}
    assert plots(jobs) == FIGURES


def test_a_stale_run_stops_evaluation_with_the_repair(copied):
    """Snakemake is told to run `evaluate` alone, on a training of another recipe."""
    copied.edit("config/studies/tiny.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    run = "results/tiny/runs/linear/sgd/wd-0/seed-0"
    done = copied.run("--allowed-rules", "evaluate", "--", f"{run}/evaluate.json", check=False)
    assert done.returncode != 0
    assert "made from another recipe or code" in done.stdout
    repair = f"snakemake --cores all {run}/train.json --forcerun {run}/train.json"
    assert f"to repair: {repair}" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_study_name_and_any_file_are_targets(copied):
    assert copied.jobs("tiny-backbone") == {
        "describe_models": 1,
        "evaluate": 1,
        "evaluate_best": 1,
        "tabulate": 1,
        "plot_train_curves": 1,
    }
    assert copied.jobs("--config", "studies=[tiny-images]") == {}


def test_data_of_another_origin_are_noticed_without_records(built, tmp_path):
    """A dataset's manifest changes under its results, with its old time."""
    clone = built.clone(tmp_path / "clone", records=False)
    path = clone.path("resources/datasets/tiny-digits/manifest.json")
    times = path.stat()
    content = files.read_json(path)
    del content["seal"]
    content["info"]["note"] = "other"
    files.write_json(path, {**content, "seal": files.digest(content)})
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stages(clone.jobs("tiny-images")) == {
        "describe_models": 1,
        "train": 1,
        "evaluate": 1,
        "evaluate_best": 1,
        "tabulate": 1,
    }


def test_a_deleted_manifest_of_a_run_is_noticed(copied):
    copied.path("results/tiny/runs/linear/sgd/wd-0/seed-0/train.json").unlink()
    assert stages(copied.jobs()) == {"train": 1, "evaluate": 1, **AFTER}


def test_words_of_errors_and_an_unused_schedule_rerun_nothing(copied):
    copied.edit("workflow/cobaye/storage/manifests.py", "expected sha256", "awaited sha256")
    copied.edit("workflow/cobaye/training/schedules/cosine.py", "0.5 *", "0.25 *")
    assert copied.jobs() == {}


@pytest.mark.parametrize("records", [True, False])
def test_products_newer_than_what_was_made_of_them_rerun_nothing(built, tmp_path, records):
    """As a copy that does not keep times leaves them: only manifests are compared."""
    copied, now = built.clone(tmp_path / "copy", records=records), time.time()
    for folder in ("results", "resources"):
        for path in copied.path(folder).rglob("*"):
            moment = now - 1000 if path.suffix == ".json" else now
            os.utime(path, (moment, moment))
    assert copied.jobs() == {}


def test_an_edited_figure_option_is_noticed_in_a_clone_without_records(built, tmp_path):
    clone = built.clone(tmp_path / "clone", records=False)
    path = clone.path("config/studies/tiny.yaml")
    names = [figure.stem for figure in clone.path("results/tiny/figures").glob("*.svg")]
    figures = "".join(f"  {name}:\n" for name in sorted(names))
    path.write_text(path.read_text() + "figures:\n" + figures)
    assert clone.jobs() == {}
    clone.edit("config/studies/tiny.yaml", "  confusion:\n", "  confusion: {last: 3}\n")
    assert clone.jobs() == {"plot_confusion": 1}


def test_shards_of_another_recipe_are_noticed_in_a_clone_without_records(built, tmp_path):
    clone = built.clone(tmp_path / "clone", records=False)
    clone.edit("config/backbones.yaml", "batch_size: 16", "batch_size: 8")
    jobs = clone.jobs("tiny")
    assert jobs["cache_features"] == 6
    assert "prepare_backbone" not in jobs


def test_a_run_less_is_tabulated_again_in_a_clone_without_records(built, tmp_path):
    clone = built.clone(tmp_path / "clone", records=False)
    clone.edit("config/studies/tiny.yaml", '["0", "1e-2"]', '["0"]')
    # One λ is left, so there is nothing that analyses and the story compare.
    assert stages(clone.jobs("tiny")) == {"tabulate": 1, "evaluate_best": 1}


def test_the_report_holds_every_figure_and_page_of_tables(copied):
    copied.run("--report", "report.html")
    report = copied.path("report.html").read_text(encoding="utf-8")
    for study in ("tiny", "tiny-images"):
        tables = copied.path(f"results/{study}/tables").glob("*.html")
        figures = copied.path(f"results/{study}/figures").glob("*.svg")
        for file in (*tables, *figures):
            assert str(file.relative_to(copied.folder)) in report


def test_a_study_says_how_many_threads_a_training_has(fresh):
    target = "results/tiny/runs/linear/sgd/wd-0/seed-0/train.json"
    assert "threads: " not in fresh.run("-n", target).stdout
    fresh.edit("config/studies/tiny.yaml", "weight_decays:", "threads: 2\nweight_decays:")
    assert fresh.run("-n", target).stdout.count("threads: 2") == 1


def test_a_clock_that_jumped_back_between_stages_reruns_nothing(copied):
    """Features of tomorrow, what comes of them of today."""
    tomorrow = time.time() + 86400
    for path in copied.path("results/features").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    run = "results/tiny/runs/linear/sgd/wd-0/seed-0"
    shutil.rmtree(copied.path(f"{run}/checkpoints"))
    copied.path(f"{run}/train.json").unlink()
    copied.run(f"{run}/evaluate.json")
    assert copied.jobs(f"{run}/evaluate.json") == {}
