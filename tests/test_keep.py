"""A study keeps the checkpoints that it says, and refuses what would need the others."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pytest

from cobaye import figures, recipes
from cobaye.analyses import _rival_heads, weights
from cobaye.config import Config
from cobaye.errors import ConfigError
from cobaye.inside.opened_run import Inside
from cobaye.planning import needs
from cobaye.planning.plan import Plan
from cobaye.storage import files, journal, manifests, paths, resume
from cobaye.training import loop
from tests import test_training as base
from tests.conftest import ROOT, edit, job_counts, load, whole
from tests.drawing import draw_all
from tests.test_grids import STUDY as GRID

root = base.root
STUDY, STUDY_FILE = "studies/tiny.yaml", "config/studies/tiny.yaml"
KEPT = {1: [0, 1, 2, 3, 4], 2: [0, 2, 4], 3: [0, 3, 4], None: [0, 4]}


def recipe(keep):
    return dataclasses.replace(base.TRAINING, keep=keep)


def names(epochs):
    return [paths.checkpoint(epoch) for epoch in epochs]


def there(folder):
    return sorted(path.name for path in folder.iterdir())


def products(folder):
    """The files of a run by name, less the manifest, whose recipe says what is kept."""
    return {k: v for k, v in base.products(folder).items() if k != "train.json"}


@pytest.mark.parametrize("keep", [1, 2, 3, None])
def test_what_stays_is_what_all_would_have_left(root, keep):
    folder, _ = base.train(root)
    every = products(folder)
    shutil.rmtree(folder)
    folder, manifest = base.train(root, recipe(keep))
    assert there(folder / "checkpoints") == names(KEPT[keep])
    assert [name for name in manifest["files"] if "/" in name] == [
        f"checkpoints/{name}" for name in names(KEPT[keep])
    ]
    assert products(folder) == {name: every[name] for name in products(folder)}
    assert recipes.kept_epochs(keep, 4) == KEPT[keep]


@pytest.mark.parametrize("keep", [2, None])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_run_ends_the_same_and_holds_no_more_on_the_way(root, keep, after):
    folder, _ = base.train(root, recipe(keep))
    expected = base.products(folder)
    shutil.rmtree(folder)
    base.interrupt(root, recipe(keep), after)
    scratch = folder / resume.FOLDER / resume.CHECKPOINTS
    # And the epoch before the last: the last line may turn out not whole.
    kept = {*recipes.kept_epochs(keep, after), after - 1}
    assert there(scratch) == names(sorted(kept))
    base.train(root, recipe(keep))
    assert files.read_json(folder / "run.json")["resumed_from"] == [after]
    assert base.products(folder) == expected


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [(1, None, "not stated → None"), (None, 1, "None → not stated")],
)
def test_what_was_begun_with_another_choice_is_not_used(root, capsys, before, now, said):
    base.interrupt(root, recipe(before), 2)
    folder, _ = base.train(root, recipe(now))
    message = f"resume state not used: it is of another run: recipe.keep: {said}"
    assert message in capsys.readouterr().err
    assert files.read_json(folder / "run.json")["resumed_from"] == []


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_kill_beside_a_commit_leaves_an_epoch_to_go_on_from(root, monkeypatch, after_commit):
    folder, _ = base.train(root, recipe(None))
    expected = base.products(folder)
    shutil.rmtree(folder)
    append = journal.Journal.append

    def killed(self, record):
        if record["epoch"] < 3 or after_commit:
            append(self, record)
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            base.train(root, recipe(None))
    scratch = folder / resume.FOLDER / resume.CHECKPOINTS
    assert there(scratch) == names([0, 1, 2, 3])
    base.train(root, recipe(None))
    assert files.read_json(folder / "run.json")["resumed_from"] == [2 + after_commit]
    assert there(scratch) == names([0, 3, 4])
    assert base.products(folder) == expected


def test_a_run_that_diverges_keeps_its_last_weights(root, monkeypatch):
    norms = loop.engines.norms
    calls = []

    def grown(tensors):
        calls.append(1)
        return (float("inf"),) * 2 if len(calls) == 4 else norms(tensors)

    monkeypatch.setattr(loop.engines, "norms", grown)
    folder, manifest = base.train(root, recipe(None))
    assert manifest["info"]["stopped"].startswith("diverged in epoch 3")
    assert there(folder / "checkpoints") == names([0, 3])


@pytest.mark.parametrize("keep", [2, None])
def test_the_kept_checkpoints_are_scored_as_all_would_be(root, keep):
    folder, manifest = base.train(root)
    base.evaluation_of(root, base.TRAINING, manifest)
    tables = ("metrics", "classes", "predictions")
    every = {name: pd.read_parquet(folder / f"{name}.parquet") for name in tables}
    shutil.rmtree(folder)
    folder, manifest = base.train(root, recipe(keep))
    base.evaluation_of(root, recipe(keep), manifest)
    for name, table in every.items():
        if "epoch" in table:
            table = table[table["epoch"].isin(KEPT[keep])].reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), table)


def test_rotations_are_of_the_kept_epochs(root):
    folder, _ = base.train(root, recipe(3))
    trained = manifests.read_manifest(folder / "train.json", "train", base.IDENTITY)
    split = base.splits.load(base.DATA, "test", root)
    run = Inside(folder, trained, base.TRAINING.model, "cross-entropy", "trained", split)
    table = weights.inspect(run, weights.Options())["rotation"]
    assert table["epoch"].tolist() == KEPT[3]


def test_without_epochs_to_choose_from_no_rival_stops_early():
    def rivals(epochs):
        val = base.splits.Split(None, base.torch.zeros(2, dtype=int), 2, {})
        metrics = pd.DataFrame({"epoch": epochs, "loss": 1.0})
        return _rival_heads.LambdaPath({}, "0", metrics, val, None, 0)

    stops = {"stop", "stop_per_class"}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("one", "temperature", "bias", "joint", "mix", *stops):
            patch.setattr(_rival_heads, name, lambda path, name=name: name)
        assert not stops & set(_rival_heads.untrained(rivals([0, 90])))
        assert stops <= set(_rival_heads.untrained(rivals([0, 45, 90])))


def test_a_study_says_what_stays(folder):
    plan = Plan(load(folder), ROOT / "workflow/scripts")
    run = {"study": "tiny", "model": "linear", "optimizer": "sgd", "weight_decay": "0", "seed": 0}
    assert "keep" not in plan.stage("train", **run).recipe
    before = needs.evaluate(load(folder), **run)
    edit(folder, STUDY, "backbone:", "keep: every 3\nbackbone:")
    config = load(folder)
    assert config.studies["tiny"].keep == 3
    assert Plan(config, ROOT / "workflow/scripts").stage("train", **run).recipe["keep"] == 3
    assert needs.evaluate(config, **run).minutes <= before.minutes
    edit(folder, STUDY, "keep: every 3", "keep: last")
    config = load(folder)
    assert config.studies["tiny"].keep is None
    # The default leaves out what shows scores by epoch.
    assert "test-curves" not in config.studies["tiny"].figures
    assert "train-curves" in config.studies["tiny"].figures


@pytest.mark.parametrize("given", ["every", "every 1", "every 0", "every 10000", "5", "true", "[]"])
def test_what_is_no_choice_is_refused(folder, given):
    edit(folder, STUDY, "backbone:", f"keep: {given}\nbackbone:")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: keep: .*expected all, last or every n"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "keep", "more", "said"),
    [
        ("tiny", "every 4", "", "optimizers.sgd.epochs: 4: only the last would be kept"),
        ("tiny", "last", "figures: [test-curves]", "'test-curves' draws scores by epoch"),
        ("tiny", "last", "figures: [optimizer-curves]", "'optimizer-curves' draws scores"),
        ("tiny", "last", "figures: [schedules]", "'schedules' draws scores"),
        ("tiny", "every 2", "figures: [ablation]", "figures.ablation.epochs: 5"),
        ("tiny", "last", "figures: {ablation: {epochs: 2}}", "figures.ablation.epochs: 2"),
    ],
)
def test_what_needs_a_lost_checkpoint_is_refused(folder, file, keep, more, said):
    edit(folder, f"studies/{file}.yaml", "backbone:", f"keep: {keep}\n{more}\nbackbone:")
    with pytest.raises(ConfigError) as found:
        load(folder)
    assert str(found.value).startswith(f"{folder}/studies/{file}.yaml: keep: {keep}: ")
    assert said in str(found.value)


@pytest.mark.parametrize(
    ("keep", "more", "said"),
    [
        (
            "every 4",
            "",
            r"optimizers.sgd-lr0.1-momentum0: grid.epochs: \[1, 2, 4\]: .*\[1, 2\] are",
        ),
        ("last", "", r"grid.epochs: \[1, 2, 4\]: .* \[1, 2\] are not kept: write keep: all"),
    ],
)
def test_a_grid_is_read_from_what_is_kept(tmp_path: Path, keep, more, said):
    (tmp_path / "studies").mkdir()
    for name, text in {
        "datasets.yaml": "digits: {kind: digits}\n",
        "backbones.yaml": "{}\n",
        "studies/g.yaml": f"{GRID}\nkeep: {keep}\n{more}\n",
    }.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=said):
        whole(Config({"studies": ["g"]}, tmp_path, figures.names()))
    (tmp_path / "studies/g.yaml").write_text(GRID.replace("epochs: [4, 1, 2]", "epochs: [4, 3]"))
    with (tmp_path / "studies/g.yaml").open("a") as file:
        file.write("keep: every 3\n")
    assert Config({"studies": ["g"]}, tmp_path, figures.names()).studies["g"].keep == 3


@pytest.mark.slow
def test_a_study_of_last_checkpoints_is_complete(copied):
    """Every run is trained again, no other file of `all` stays, and nothing more is to be done."""
    copied.edit(
        STUDY_FILE, "dataset:", "keep: last\nanalyses: [classes, measures, rivals]\ndataset:"
    )
    drawn = list(load(copied.path("config")).studies["tiny"].figures)
    copied.draw_only("best-lambda-test")
    assert job_counts(copied.run("tiny").stdout)["train"] == 2
    folders = list(copied.path("results/tiny/runs").glob("*/*/*/*/checkpoints"))
    assert len(folders) == 2
    for folder in folders:
        assert sorted(folder.glob("*.safetensors")) == [folder / name for name in names([0, 4])]
    rivals = pd.read_csv(copied.path("results/tiny/tables/rivals.csv"))["rival"]
    assert "temperature" in set(rivals)
    assert not {"stop", "stop-per-class"} & set(rivals)
    draw_all(copied.path("results/tiny"), drawn)
    assert copied.jobs("tiny") == {}
