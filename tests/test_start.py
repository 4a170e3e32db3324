"""A training starts where its study says, and only what it says learns."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import kinds, recipes
from cobaye.data import datasets, splits
from cobaye.data.normalization import normalization_of
from cobaye.errors import DataError
from cobaye.models import backbones, networks, starts
from cobaye.objective import regularization
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.training import commits, engines, loop
from tests.jobs import CODE, job

K, SIZE = 4, 6
RUN = {"study": "s", "model": "m", "optimizer": "o", "weight_decay": "0", "seed": 0}
BACKBONE = recipes.Start("b")


def model(kind, **options):
    return recipes.Kind(kind, recipes.plain(kinds.options("networks", kind)(**options)))


RESNET = model("resnet-small", stem=16, widths=(16,), features=16)
TRAINING = recipes.Training(
    data=recipes.Data("d", None),
    engine="network",
    model=RESNET,
    optimizer=recipes.Optimizer(
        algorithm=recipes.Kind("sgd", {"momentum": 0.9, "nesterov": False}),
        learning_rate=0.05,
        schedule=recipes.Kind("constant", {}),
        batch_size=8,
        epochs=2,
        normalize="global",
    ),
    weight_decay=0.1,
    penalize_bias=True,
    seed=0,
)


def dataset(root, name, classes=K):
    generator = np.random.default_rng(len(name))
    parts = {
        split: (generator.integers(0, 256, (n, 1, SIZE, SIZE), np.uint8), np.arange(n) % classes)
        for split, n in {"train": 25, "val": 8, "test": 8}.items()
    }
    folder = root / paths.DATASET.format(dataset=name)
    names = [{"name": f"c{i}"} for i in range(classes)]
    made = datasets.write(datasets.Prepared(names, parts), folder)
    info = {"classes": classes, "shape": [1, SIZE, SIZE], "form": "images"}
    manifests.Manifest("prepare_dataset", {"dataset": name}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with two datasets, and the backbone `b`: what a run learned on the one with K."""
    root = tmp_path_factory.mktemp("start")
    dataset(root, "d")
    dataset(root, "other", classes=3)
    loop.train(job("train", RUN, TRAINING, root))
    backbones.prepare_backbone(
        job(
            "prepare_backbone",
            {"backbone": "b"},
            {"model": recipes.plain(RESNET), "run": RUN},
            root,
            expected=manifests.stage_fingerprint(recipes.plain(TRAINING), CODE),
        )
    )
    return root


def begun(root, recipe=TRAINING, **changes):
    """Return a network at its start, and what is said of it."""
    recipe = dataclasses.replace(recipe, **changes)
    return starts.network(
        recipe, splits.load(recipe.data, "train", root), job("train", {}, recipe, root)
    )


def train(root, name, recipe=TRAINING, **changes):
    recipe = dataclasses.replace(recipe, **changes)
    return loop.train(job("train", {**RUN, "model": name}, recipe, root)).parent


def last(folder, epoch=2):
    return checkpoints.load(folder / "checkpoints" / paths.checkpoint(epoch))


def test_all_that_fits_is_taken(shared):
    network, said = begun(shared, start=BACKBONE, seed=5)
    given = backbones.load("b", shared).tensors
    assert said == {"taken": list(network.state_dict()), "fresh": []}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, given[name])


def test_a_head_for_other_classes_is_fresh(shared):
    data = recipes.Data("other", None)
    network, said = begun(shared, start=BACKBONE, data=data, seed=5)
    random, nothing = begun(shared, data=data, seed=5)
    assert nothing == {}
    assert said["fresh"] == ["head.weight", "head.bias"]
    assert torch.equal(network.head.weight, random.head.weight)
    assert not torch.equal(network.body[0][0].weight, random.body[0][0].weight)


def test_a_part_that_fits_may_stay_fresh(shared):
    start = dataclasses.replace(BACKBONE, fresh=("body",))
    network, said = begun(shared, start=start, seed=5)
    random, _ = begun(shared, seed=5)
    assert said["taken"] == ["head.weight", "head.bias"]
    for name, tensor in network.body.state_dict().items():
        assert torch.equal(tensor, random.body.state_dict()[name])


def test_a_backbone_of_which_nothing_fits_is_refused(shared):
    with pytest.raises(DataError, match="backbone b: none of its tensors fits"):
        begun(shared, start=BACKBONE, model=model("mlp"), data=recipes.Data("other", None))


def test_the_run_says_where_it_started(shared):
    folder = train(shared, "told", start=BACKBONE, train_only=("head",))
    started = files.read_json(folder / "run.json")["start"]
    assert len(started["taken"]) == len(backbones.load("b", shared).tensors) - 2
    assert started["frozen"] == [
        n for n in started["taken"] if _is_parameter(n) and "head" not in n
    ]
    manifest = files.read_json(folder / "train.json")
    path = "resources/backbones/b.json"
    assert manifest["inputs"][path] == files.sha256(shared / path)
    # The weights of epoch 0 are those taken.
    assert torch.equal(
        last(folder, 0)["head.weight"], backbones.load("b", shared).tensors["head.weight"]
    )


def _is_parameter(name):
    return name.endswith(("weight", "bias"))


def test_what_is_frozen_stays_but_for_running_statistics(shared):
    folder = train(shared, "frozen", start=BACKBONE, train_only=("head",))
    before, after = last(folder, 0), last(folder)
    for name, tensor in before.items():
        moved = not torch.equal(tensor, after[name])
        learns = name.startswith("head.")
        follows = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert moved == (learns or follows), name


def test_penalty_and_norms_are_of_what_learns(shared):
    folder = train(shared, "norms", train_only=("head",))
    rows = pd.read_csv(folder / "history.csv")
    for epoch in range(3):
        own = last(folder, epoch)
        theta = torch.cat([own["head.weight"].flatten(), own["head.bias"]]).double()
        assert rows["weight_l2"][epoch] == pytest.approx(theta.norm().item(), rel=1e-6)
        assert rows["weight_l1"][epoch] == pytest.approx(theta.abs().sum().item(), rel=1e-6)
    # λ/2 ‖θ‖² at the start of the first epoch and at its end enclose its mean.
    ends = sorted(0.1 / 2 * rows["weight_l2"][:2] ** 2)
    assert ends[0] * 0.9 <= rows["penalty"][1] <= ends[1] * 1.1


def test_a_largest_norm_is_of_what_learns():
    network = networks.build(model("mlp", widths=(5,)), (1, 3, 3), K, 0)
    starts.freeze(network, ("head",))
    capped = dataclasses.replace(TRAINING.optimizer, max_norm=1e-3)
    recipe = dataclasses.replace(TRAINING, optimizer=capped)
    before = network.body.linear1.weight.clone()
    regularization.Regularization(recipe, network).constrain()
    assert torch.equal(network.body.linear1.weight, before)
    assert network.head.weight.norm(dim=1).max() <= 1e-3 * (1 + 1e-6)


def test_a_head_on_frozen_layers_is_softmax_regression_on_their_features():
    """The objective's θ is what learns: the closed-form engine, on the features, agrees."""
    images = torch.randint(0, 256, (31, 1, 3, 3), generator=torch.Generator().manual_seed(0))
    split = splits.Split(images.to(torch.uint8), torch.arange(31) % K, K, {})
    normalization = normalization_of(split.inputs, "global")
    recipe = dataclasses.replace(
        TRAINING, model=model("mlp", widths=(7,)), precision="float64", train_only=("head",)
    )
    network = networks.build(recipe.model, (1, 3, 3), K, 0)
    starts.freeze(network, recipe.train_only)
    head = {name: t.clone() for name, t in network.state_dict().items() if "head" in name}
    with torch.no_grad():
        # As the engine does: normalised in float32, computed in float64.
        inputs = normalization(split.inputs).double().flatten(1)
        features = network.double().body(inputs)
    own = engines.build(recipe, network, split, normalization, "cpu")
    on_features = dataclasses.replace(recipe, engine="linear", model=model("linear"), train_only=())
    other = networks.build(on_features.model, (7,), K, 0)
    other.load_state_dict(head)
    told = splits.Split(features, split.labels, K, {})
    reference = engines.build(on_features, other, told, None, "cpu")
    for epoch in (1, 2):
        order = loop.batch_order(0, epoch, 31)
        found, expected = own.epoch(order, 0.1), reference.epoch(order, 0.1)
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
        assert found.penalty == pytest.approx(expected.penalty, rel=1e-12)
    for a, b in zip(own.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("train_only", [(), ("head",)])
def test_a_killed_training_that_started_elsewhere_resumes(shared, monkeypatch, train_only):
    changes = {"start": BACKBONE, "train_only": train_only}
    whole = train(shared, f"whole{len(train_only)}", **changes)
    encoded, calls = commits.checkpoints.encoded, []

    def dying(tensors):
        calls.append(tensors)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encoded(tensors)

    monkeypatch.setattr(commits.checkpoints, "encoded", dying)
    with pytest.raises(KeyboardInterrupt):
        train(shared, f"killed{len(train_only)}", **changes)
    monkeypatch.undo()
    killed = train(shared, f"killed{len(train_only)}", **changes)
    assert files.read_json(killed / "run.json")["resumed_from"] == [1]
    for name in ("history.csv", "checkpoints/epoch-002.safetensors"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_another_backbone_is_another_training(shared, tmp_path):
    """Resume state of one is not used for the other, and the manifest tells them apart."""
    folder = train(shared, "twice", start=BACKBONE)
    first = files.read_json(folder / "train.json")["inputs"]
    path = shared / "resources/backbones/b.json"
    kept = path.read_bytes()
    content = json.loads(kept)
    content["info"]["note"] = "changed"
    content.pop("seal")
    files.write_json(path, {**content, "seal": files.digest(content)})
    train(shared, "twice", start=BACKBONE)
    assert files.read_json(folder / "run.json")["resumed_from"] == []
    assert files.read_json(folder / "train.json")["inputs"] != first
    path.write_bytes(kept)


@pytest.mark.parametrize(
    ("channels", "classes", "fresh"),
    [
        (3, 6, {"head.weight", "head.bias"}),
        (1, 6, {"body.conv1.weight", "head.weight", "head.bias"}),
        (3, 5, set()),
    ],
)
def test_resnet18_from_torchvisions_weights(tmp_path, channels, classes, fresh):
    """A tensor by tensor look at a local state dict, as a download would be."""
    zoo = model("torchvision", model="resnet18")
    theirs = networks.build(zoo, (3, 32, 32), 5, seed=9)
    pixels = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    made = backbones.checkpoints.save(
        tmp_path / "resources/backbones/b.safetensors",
        {**theirs.state_dict(), **normalization_of(pixels, "none").tensors()},
    )
    manifests.Manifest(
        *("prepare_backbone", {"backbone": "b"}, {}, "code", {}),
        {"b.safetensors": made},
        {"resize": None, "manifest": "b.json"},
    ).write(tmp_path / "resources/backbones/b.json")
    recipe = dataclasses.replace(
        TRAINING,
        model=model("resnet18"),
        start=BACKBONE,
        train_only=("conv1", "layer4", "head"),
    )
    split = splits.Split(torch.zeros(2, channels, 8, 8), torch.zeros(2, dtype=int), classes, {})
    network, said = starts.network(recipe, split, job("train", {}, recipe, tmp_path))
    assert set(said["fresh"]) == fresh
    state = network.state_dict()
    assert all(torch.equal(state[name], theirs.state_dict()[name]) for name in said["taken"])
    frozen = {name.split(".")[1] for name in said["frozen"]}
    assert frozen == {"bn1", "layer1", "layer2", "layer3"}


@pytest.mark.slow
def test_a_study_starts_from_a_run_of_another(copied):
    """By the one door of prepare_backbone; a change of that run's recipe trains this one again."""
    study = copied.path("config/studies/tiny-start.yaml")
    study.write_text(
        "dataset: tiny-digits\n"
        "models:\n"
        "  tuned: {kind: resnet-small, start: {backbone: tiny-backbone}}\n"
        "  head: {kind: resnet-small, start: {backbone: tiny-backbone}, train_only: [head]}\n"
        "  scratch: {kind: resnet-small}\n"
        "optimizers:\n"
        "  sgd: {algorithm: {kind: sgd}, learning_rate: 0.05, batch_size: 64, epochs: 1}\n"
        'weight_decays: ["1e-3"]\n'
        "figures: [train-curves]\n"
    )
    copied.run("tiny-start")
    folder = copied.path("results/tiny-start/runs/tuned/sgd/wd-1e-3/seed-0")
    assert (
        "resources/backbones/tiny-backbone.json" in files.read_json(folder / "train.json")["inputs"]
    )
    assert files.read_json(folder / "run.json")["start"]["fresh"] == ["head.weight", "head.bias"]
    rows = pd.read_csv(copied.path("results/tiny-start/tables/layers.csv"))
    trained = rows[rows["layer"] == "total"].set_index("model")["trained"]
    assert trained["head"] == 256 * 10 + 10 < trained["tuned"] == trained["scratch"]
    assert copied.jobs("tiny-start") == {}
    copied.edit("config/studies/tiny-backbone.yaml", "epochs: 2", "epochs: 3")
    jobs = copied.jobs("tiny-start")
    assert (jobs["prepare_backbone"], jobs["train"]) == (1, 3)  # its own, and those two
