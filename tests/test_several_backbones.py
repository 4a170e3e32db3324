"""A study of several backbones is one model per backbone, from its keys to its tables."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from cobaye import recipes
from cobaye.errors import ConfigError
from cobaye.planning import facts, needs, targets
from cobaye.planning.plan import Plan
from cobaye.recipes.study import Run
from tests.conftest import ROOT, edit, load

STUDY = "studies/tiny.yaml"
SCRIPTS = ROOT / "workflow/scripts"
ONE = "backbone: tiny-backbone\n"
TWO = "backbones: [tiny-backbone, other]\n"
OTHER = """
other:
  run: {study: tiny-backbone, model: resnet, optimizer: sgd, weight_decay: "1e-3", seed: 1}
"""


@pytest.fixture
def two(folder):
    """A config whose study `tiny` has two backbones: two seeds of one network."""
    give_two(folder)
    return folder


def give_two(folder):
    path = folder / "backbones.yaml"
    path.write_text(path.read_text() + OTHER)
    path = folder / "studies/tiny-backbone.yaml"
    path.write_text(path.read_text() + "seeds: [0, 1]\n")
    edit(folder, STUDY, ONE, TWO)


def refused(folder, old, new):
    edit(folder, STUDY, old, new)
    with pytest.raises(ConfigError) as found:
        load(folder)
    assert str(folder / STUDY) in str(found.value)
    return str(found.value)


def test_each_model_becomes_one_per_backbone(two):
    config = load(two)
    study, models = config.studies["tiny"], ["linear@tiny-backbone", "linear@other"]
    assert list(study.models) == models
    assert [run.model for run in study.runs()] == [each for each in models for _ in range(2)]
    plan = Plan(config, SCRIPTS)
    for model, backbone in zip(models, ("tiny-backbone", "other"), strict=True):
        run = {"study": "tiny", **vars(Run(model, "sgd", "0", 0))}
        expected = {"dataset": "tiny-glyphs", "backbone": backbone}
        for stage in ("train", "evaluate"):
            assert plan.stage(stage, **run).recipe["data"] == expected
        assert needs.train(config, **run) == needs.train(config, "tiny", **vars(study.runs()[0]))
    files = targets.of_study(config, "tiny")
    assert "results/tiny/runs/linear@other/sgd/wd-0/seed-0/train.json" in files
    assert not facts.has_baseline(config, "tiny")
    assert not [file for file in files if file.startswith("results/tiny/baseline")]
    told = plan.stage("tell_story", study="tiny").recipe["data"]
    assert told == {"dataset": "tiny-glyphs", "backbone": "tiny-backbone`, `other"}
    assert study.sources == [
        recipes.Data("tiny-glyphs", "tiny-backbone"),
        recipes.Data("tiny-glyphs", "other"),
    ]


def test_an_optimizers_models_are_of_all_backbones(two):
    edit(two, STUDY, "  linear: {kind: linear}", "  linear: {kind: linear}\n  deep: {kind: mlp}")
    edit(two, STUDY, "  sgd:\n", "  sgd:\n    models: [deep, linear]\n")
    found = list(dict.fromkeys(run.model for run in load(two).studies["tiny"].runs()))
    assert found == ["linear@tiny-backbone", "linear@other", "deep@tiny-backbone", "deep@other"]


def test_a_study_of_one_backbone_keeps_its_names_and_recipes(folder):
    before = Plan(load(folder), SCRIPTS)
    run = {"study": "tiny", **vars(before.config.studies["tiny"].runs()[0])}
    assert run["model"] == "linear"
    told = before.stage("train", **run).recipe
    give_two(folder)
    model = "linear@tiny-backbone"
    assert Plan(load(folder), SCRIPTS).stage("train", **{**run, "model": model}).recipe == told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TWO, ONE + TWO, "backbones: give one of backbone and backbones"),
        ("other]", "othr]", "backbones: no backbone 'othr': did you mean 'other'?"),
        ("other]", "tiny-backbone]", "backbones: 'tiny-backbone' stands twice"),
        (", other]", "]", "backbones: ['tiny-backbone']: list should have at least 2 items"),
        ("models:", "baseline: true\nmodels:", "cannot be combined with baseline: true"),
        ("models:", "sample: {count: 1}\nmodels:", "cannot be combined with sample"),
        ("models:", "together: true\nmodels:", "cannot be combined with together"),
        (
            "kind: linear}",
            "kind: mlp, grid: {dropout: [0, 0.1]}}",
            "backbones: cannot be combined with grid",
        ),
        ("  sgd:\n", "  sgd:\n    models: [line]\n", "models: no entry of models 'line'"),
        ("  linear:", "  linear@other:", "name 'linear@other': names stand in paths"),
        ("tiny-glyphs", "tiny-featres", "no dataset 'tiny-featres'"),
    ],
)
def test_what_cannot_be_is_refused(two, old, new, said):
    assert said in refused(two, old, new)


def test_a_stage_that_reads_one_backbone_refuses_several(two):
    with pytest.raises(ConfigError, match=r"tiny.yaml: backbones: \['tiny-backbone', 'other'\]"):
        Plan(load(two), SCRIPTS).stage("describe_models", study="tiny")


def test_the_analysis_of_backbones_needs_several_or_seeds(folder):
    said = refused(folder, "models:", "analyses: [backbones]\nmodels:")
    assert "analyses.backbones: needs two or more backbones in backbones, or seeds" in said
    edit(folder, STUDY, "analyses:", "seeds: [0, 1]\nanalyses:")
    assert list(load(folder).studies["tiny"].analyses) == ["backbones"]


def test_the_twin_reads_five_backbones_of_one_network():
    read = {
        name: yaml.safe_load((ROOT / f"config/studies/{name}.yaml").read_text())
        for name in ("glyphs", "glyphs-backbones", "glyphs-backbone", "glyphs-backbone-seeds")
    }
    twin, seeds = read["glyphs-backbones"], read["glyphs-backbone-seeds"]
    for key in ("dataset", "models", "optimizers"):
        assert twin[key] == read["glyphs"][key]
    assert set(twin["weight_decays"]) < set(read["glyphs"]["weight_decays"])
    for key in ("dataset", "models", "optimizers", "weight_decays"):
        assert seeds[key] == read["glyphs-backbone"][key]
    backbones = yaml.safe_load((ROOT / "config/backbones.yaml").read_text())
    found = [backbones[name]["run"].get("seed", 0) for name in twin["backbones"]]
    assert found == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_the_workflow_of_two_backbones(copied):
    """To a study of one backbone that was built, another one is added."""
    give_two(copied.folder / "config")
    copied.edit(f"config/{STUDY}", "models:", MORE + "models:")
    copied.run("tiny")
    tables = copied.folder / "results/tiny/tables"
    gains = pd.read_csv(tables / "transfer.csv")
    assert set(gains["chosen_on"]) == set(gains["judged_on"]) == {"tiny-backbone", "other"}
    over = pd.read_csv(tables / "over-backbones.csv")
    assert "change of loss beside one λ" in set(over["quantity"])
    story = (copied.folder / "results/tiny/story.md").read_text()
    assert "the backbones `tiny-backbone`, `other` on" in story
    assert copied.jobs("tiny") == {}
    # A second look at one backbone alone reads the same features.
    copied.edit(f"config/{STUDY}", TWO, ONE)
    copied.edit(f"config/{STUDY}", "backbones, ", "")
    copied.edit(f"config/{STUDY}", "transfer, ", "")
    assert "cache_features" not in copied.jobs("tiny")


MORE = """per_class: [val]
analyses: [classes, backbones, per-class, rivals]
figures: [transfer, best-lambda-test]
"""
