"""What a study says of its models and engine is what is built, or refused in one message."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from cobaye import figures, kinds, recipes
from cobaye.config import Config
from cobaye.errors import ConfigError
from cobaye.models import backbones
from cobaye.models.networks import torchvision as zoo
from cobaye.planning import facts, runs
from cobaye.planning.plan import Plan
from cobaye.recipes.study import Run
from cobaye.storage import checkpoints, files
from cobaye.training import loop
from tests import archives
from tests.conftest import ROOT, edit, load
from tests.jobs import job

SCRIPTS = ROOT / "workflow/scripts"
IMAGES = "studies/tiny-images.yaml"
LINEAR = "  linear: {kind: linear}\n"


def training_of(folder, model, study="tiny-images"):
    run = Run(model, "sgd", "1e-3", 0)
    return Plan(load(folder), SCRIPTS).stage("train", **runs.identity(study, run))


STARTING = "  tuned: {kind: resnet-small, start: {backbone: tiny-backbone, fresh: [head]}}\n"


def test_a_model_says_what_it_minimises_and_where_it_starts(folder):
    edit(
        folder,
        IMAGES,
        LINEAR,
        "  plain: {kind: linear}\n"
        "  perceptron: {kind: perceptron}\n"
        "  squared: {kind: linear, loss: squared-error}\n"
        + STARTING
        + "  head: {kind: resnet-small, start: {backbone: tiny-backbone}, train_only: [head]}\n",
    )
    told = {
        name: training_of(folder, name).recipe
        for name in load(folder).studies["tiny-images"].models
    }
    assert {name: recipe["loss"] for name, recipe in told.items()} == {
        "plain": "cross-entropy",
        "perceptron": "squared-error",
        "squared": "squared-error",
        "tuned": "cross-entropy",
        "head": "cross-entropy",
    }
    assert told["plain"]["start"] is None
    assert told["tuned"]["start"] == {"backbone": "tiny-backbone", "fresh": ["head"]}
    assert told["head"]["train_only"] == ["head"]
    for name, recipe in told.items():
        parsed = recipes.parse(recipes.Training, recipe)
        assert recipes.plain(parsed) == recipe, name


@pytest.mark.parametrize(
    ("engine", "expected"), [("auto", "linear"), ("torch", "network"), ("numpy", "numpy")]
)
def test_a_study_chooses_its_engine(folder, engine, expected):
    edit(folder, IMAGES, "dataset:", f"engine: {engine}\nprecision: float64\ndataset:")
    recipe = training_of(folder, "linear").recipe
    assert (recipe["engine"], recipe["precision"]) == (expected, "float64")


def test_only_the_engine_used_is_code_of_a_training(folder):
    auto = training_of(folder, "linear").code
    edit(folder, IMAGES, "dataset:", "engine: numpy\ndataset:")
    assert training_of(folder, "linear").code != auto


MODEL = "kind: linear}"
CASES = [
    # what replaces the model's options, what the message must say
    ("kind: linear, loss: squared}", ["models.linear.loss", "'squared'", "squared-error"]),
    ("kind: mlp, train_only: [heads]}", ["train_only", "part of mlp 'heads'", "'head'"]),
    ("kind: linear, train_only: [head]}", ["no part of linear 'head'", "known: none"]),
    ("kind: mlp, train_only: []}", ["models.linear.train_only", "at least 1"]),
    (
        "kind: resnet-small, start: {backbone: tiny-bone}}",
        ["models.linear.start.backbone", "no backbone 'tiny-bone'", "'tiny-backbone'"],
    ),
    (
        "kind: mlp, start: {backbone: tiny-backbone}}",
        ["start.backbone", "'tiny-backbone' is a network of the kind 'resnet-small'", "'mlp'"],
    ),
    (
        "kind: resnet-small, start: {backbone: tiny-backbone, fresh: [conv1]}}",
        ["start.fresh", "no part of resnet-small 'conv1'", "body, head"],
    ),
    ("kind: resnet-small, start: {weights: x}}", ["models.linear.start.weights", "unknown key"]),
    ("kind: mlp, widths: []}", ["models.linear", "widths"]),
    ("kind: convnet, resize: 8}", ["models.linear", "resize must be at least 32"]),
    ("kind: resnet18, channels: 2}", ["models.linear.channels", "2"]),
]


@pytest.mark.parametrize(("new", "said"), CASES)
def test_one_message_says_what_is_wrong(folder, new, said):
    edit(folder, IMAGES, MODEL, new)
    with pytest.raises(ConfigError) as found:
        load(folder)
    message = str(found.value)
    assert str(folder / IMAGES) in message
    assert [part for part in said if part not in message] == [], message


NUMPY_CASES = [
    (
        MODEL,
        "kind: resnet-small}",
        ["models.linear.kind", "'resnet-small'", "linear, mlp, perceptron"],
    ),
    (MODEL, "kind: mlp, batch_norm: true}", ["models.linear.batch_norm", "True", "False only"]),
    (MODEL, "kind: mlp, train_only: [head]}", ["models.linear.train_only"]),
    (
        "kind: sgd}",
        "kind: sgd, nesterov: true}",
        ["optimizers.sgd.algorithm.nesterov", "False only"],
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), NUMPY_CASES)
def test_what_the_numpy_engine_has_not_is_refused(folder, old, new, said):
    edit(folder, IMAGES, old, new)
    load(folder)  # torch has it
    edit(folder, IMAGES, "dataset:", "engine: numpy\ndataset:")
    with pytest.raises(ConfigError, match="engine: numpy") as found:
        load(folder)
    assert [part for part in said if part not in str(found.value)] == [], found.value


def test_what_is_marked_as_written_in_numpy_has_the_options_it_names():
    for package in ("networks", "optimizers"):
        for name in kinds.names(package):
            limits = kinds.constant(package, name, "SCRATCH") or {}
            fields = {field.name for field in dataclasses.fields(kinds.options(package, name))}
            assert set(limits) <= fields, name


def test_a_model_may_not_start_from_itself(folder):
    edit(
        folder,
        "studies/tiny-backbone.yaml",
        "kind: resnet-small}",
        "kind: resnet-small, start: {backbone: tiny-backbone}}",
    )
    with pytest.raises(ConfigError, match="starts from itself") as found:
        load(folder)
    assert "tiny-backbone/resnet → tiny-backbone/resnet" in str(found.value)


def test_a_model_may_start_from_another_of_its_study(folder):
    edit(
        folder,
        "studies/tiny-backbone.yaml",
        "  resnet: {kind: resnet-small}\n",
        "  resnet: {kind: resnet-small}\n"
        "  next: {kind: resnet-small, start: {backbone: tiny-backbone}}\n",
    )
    models = load(folder).studies["tiny-backbone"].models
    assert models["next"].start.backbone == "tiny-backbone"
    assert models["resnet"].start is None


def test_a_baseline_is_not_drawn_beside_another_loss(folder):
    assert facts.has_baseline(Plan(load(folder), SCRIPTS).config, "tiny")
    edit(folder, "studies/tiny.yaml", MODEL, "kind: linear, loss: squared-error}")
    assert not facts.has_baseline(Plan(load(folder), SCRIPTS).config, "tiny")


FAITHFUL = {"mnist-perceptron": (1, 28, 28), "mnist-scratch": (1, 28, 28)}


@pytest.mark.parametrize("study", FAITHFUL)
def test_the_first_epochs_of_a_faithful_study(study, tmp_path):
    """On images of the true shape, made here: nothing can be downloaded."""
    config = Config({"studies": [study]}, ROOT / "config", figures.names())
    plan, of = Plan(config, SCRIPTS), config.studies[study]
    archives.write_blots(tmp_path, of.data.dataset, FAITHFUL[study])
    for run in of.runs():
        told = plan.stage("train", **runs.identity(study, run))
        recipe = recipes.parse(recipes.Training, told.recipe)
        recipe = dataclasses.replace(
            recipe, optimizer=dataclasses.replace(recipe.optimizer, epochs=2)
        )
        folder = loop.train(job("train", told.identity, recipe, tmp_path, code=told.code)).parent
        assert files.read_json(folder / "run.json")["finite"], run
        rows = pd.read_csv(folder / "history.csv")
        # A step of 0.1 is too large for the hidden layer, one image at a time.
        if (run.model, run.optimizer) != ("tanh-100", "step-0.1"):
            assert rows["loss"][2] < rows["loss"][1], run


@pytest.mark.slow
def test_the_first_epoch_of_resnet18_in_every_way_of_starting(tmp_path):
    """On images of the true shape; torchvision's weights are random here, in its own format."""
    study = "mnist-resnet18"
    config = Config({"studies": [study]}, ROOT / "config", figures.names())
    plan, of = Plan(config, SCRIPTS), config.studies[study]
    archives.write_blots(tmp_path, of.data.dataset, (1, 28, 28), per_class=1)
    torch.save(zoo.create("resnet18", num_classes=1000).state_dict(), tmp_path / "weights.pth")
    told = plan.stage("prepare_backbone", backbone="imagenet-resnet18")
    recipe = {**told.recipe, "file": "weights.pth"}
    backbones.prepare_backbone(
        job("prepare_backbone", told.identity, recipe, tmp_path, code=told.code)
    )
    for run in of.runs():
        told = plan.stage("train", **runs.identity(study, run))
        recipe = recipes.parse(recipes.Training, told.recipe)
        recipe = dataclasses.replace(
            recipe, optimizer=dataclasses.replace(recipe.optimizer, epochs=1)
        )
        folder = loop.train(job("train", told.identity, recipe, tmp_path, code=told.code)).parent
        found = files.read_json(folder / "run.json")
        assert found["finite"], run
        first, last = (
            checkpoints.load(folder / f"checkpoints/epoch-{epoch:03d}.safetensors")
            for epoch in (0, 1)
        )
        moved = {name for name, tensor in first.items() if not torch.equal(tensor, last[name])}
        assert "head.weight" in moved
        frozen = "layer4" in run.model
        assert ("body.layer1.0.conv1.weight" in moved) != frozen
        assert ("body.conv1.weight" in moved) == (run.model != "layer4-head")
