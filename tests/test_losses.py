"""Squared error and float64 are right in every engine, beside cross-entropy and float32."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from cobaye import objective, recipes
from cobaye.data import datasets
from cobaye.evaluation import evaluate
from cobaye.models import scoring
from cobaye.objective import matmul
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.training import commits, loop
from cobaye.training.engines import _cross_entropy, linear
from tests import reference
from tests.jobs import CODE, job

K, D, N, BATCH = 5, 4, 23, 6
SQUARED = {"loss": "squared-error"}


@pytest.fixture
def problem():
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(K, D, generator=g, dtype=torch.float64),
        torch.randn(K, generator=g, dtype=torch.float64),
        torch.randn(N, D, generator=g, dtype=torch.float64),
        torch.randint(K, (N,), generator=g),
    )


@pytest.mark.parametrize("penalize_bias", [True, False])
def test_its_value_is_the_formula(problem, penalize_bias):
    weight, bias, inputs, labels = problem
    targets = torch.eye(K, dtype=torch.float64)[labels]
    errors = inputs @ weight.T + bias - targets
    squares = weight.square().sum() + penalize_bias * bias.square().sum()
    expected = errors.square().sum() / 2 / N + 0.3 / 2 * squares
    value = reference.value(*problem, 0.3, penalize_bias=penalize_bias, **SQUARED)
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)


def test_the_error_of_the_softmax_is_half_of_briers_score(problem):
    weight, bias, inputs, labels = problem
    logits = inputs @ weight.T + bias
    found = objective.losses(logits, labels, "softmax-squared-error")
    brier = scoring.probability_scores(logits, labels, 1.0)["brier"]
    torch.testing.assert_close(found, brier / 2)


def test_its_optimum_is_that_of_the_normal_equations(problem):
    """Ridge regression: (XᵀX / N + λ) θ = XᵀY / N, with a one for the bias."""
    _, _, inputs, labels = problem
    wide = torch.cat([inputs, torch.ones(N, 1, dtype=torch.float64)], dim=1)
    targets = torch.eye(K, dtype=torch.float64)[labels]
    left = wide.T @ wide / N + 0.3 * torch.eye(D + 1, dtype=torch.float64)
    theta = torch.linalg.solve(left, wide.T @ targets / N).T
    gradient = reference.gradient(theta[:, :D], theta[:, D], inputs, labels, 0.3, **SQUARED)
    assert max(part.abs().max() for part in gradient) < 1e-14


@pytest.mark.parametrize("product", ["mkl", "onednn"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_linear_engine_is_autograd(problem, product, dtype, monkeypatch):
    monkeypatch.setattr(_cross_entropy, "LARGE_PRODUCT", 0)
    monkeypatch.setattr(matmul, "fastest", lambda: product)
    weight, bias, inputs, labels = (
        t.to(dtype) if t.is_floating_point() else t.clone() for t in problem
    )
    options = {"weight_decay": 0.05, "momentum": 0.9, "batch_size": BATCH, **SQUARED}
    engine = linear.Engine(inputs, labels, K, **options)
    engine.restore({"head.weight": weight, "head.bias": bias}, {})
    own = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    sgd = torch.optim.SGD(own, lr=0.05, momentum=0.9, weight_decay=0.05)
    for epoch in range(3):
        order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch))
        losses, hits = torch.zeros(N, dtype=dtype), 0
        for batch in order.split(BATCH):
            outputs = inputs[batch] @ own[0].T + own[1]
            targets = torch.eye(K, dtype=dtype)[labels[batch]]
            each = (outputs - targets).square().sum(1) / 2
            sgd.zero_grad()
            each.mean().backward()
            sgd.step()
            losses[batch] = each.detach()
            hits += (outputs.argmax(1) == labels[batch]).sum().item()
        seen = engine.epoch(order, 0.05)
        close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 2e-5}
        torch.testing.assert_close(seen.losses, losses, **close)
        torch.testing.assert_close(engine.parameters(), [p.detach() for p in own], **close)
        assert seen.accuracy == hits / N


def test_a_tie_is_no_hit():
    engine = linear.Engine(
        torch.ones(3, 2), torch.arange(3), 3, weight_decay=0, batch_size=3, **SQUARED
    )
    seen = engine.epoch(torch.arange(3), 0.1)
    assert (seen.loss, seen.accuracy) == (0.5, 0.0)


# Whole runs.

IDENTITY = {"study": "s", "model": "m", "optimizer": "o", "weight_decay": "0", "seed": 0}
MODELS = {
    "linear": recipes.Kind("linear", {}),
    "mlp": recipes.Kind(
        "mlp",
        {
            "widths": [6],
            "activation": "tanh",
            "dropout": 0.0,
            "batch_norm": False,
            "initialization": "default",
        },
    ),
}


@pytest.fixture
def root(tmp_path):
    generator = np.random.default_rng(0)
    parts = {
        split: (generator.integers(0, 256, (n, 1, 3, 3), np.uint8), np.arange(n) % K)
        for split, n in {"train": 31, "val": 11, "test": 13}.items()
    }
    folder = tmp_path / paths.DATASET.format(dataset="d")
    made = datasets.write(datasets.Prepared([{"name": f"c{i}"} for i in range(K)], parts), folder)
    info = {"classes": K, "shape": [1, 3, 3], "form": "images"}
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    return tmp_path


def recipe_of(model, engine, **changes):
    return recipes.Training(
        data=recipes.Data("d", None),
        engine=engine,
        model=MODELS[model],
        optimizer=recipes.Optimizer(
            algorithm=recipes.Kind("sgd", {"momentum": 0.5, "nesterov": False}),
            learning_rate=0.1,
            schedule=recipes.Kind("constant", {}),
            batch_size=4,
            epochs=3,
            normalize="global",
        ),
        weight_decay=0.0,
        penalize_bias=True,
        seed=0,
        **changes,
    )


def run(root, recipe, name="m"):
    """Train and evaluate; return the folder of the run."""
    identity = {**IDENTITY, "model": name}
    path = loop.train(job("train", identity, recipe, root))
    told = recipes.Evaluation(recipe.data, "every")
    expected = manifests.stage_fingerprint(recipes.plain(recipe), CODE)
    evaluate.evaluate(job("evaluate", identity, told, root, expected=expected))
    return path.parent


@pytest.mark.parametrize(("model", "engine"), [("linear", "linear"), ("mlp", "numpy")])
def test_every_loss_of_a_run_is_the_one_trained_with(root, model, engine):
    folder = run(root, recipe_of(model, engine, **SQUARED))
    tensors = checkpoints.load(folder / "checkpoints/epoch-003.safetensors")
    images = np.load(root / "resources/datasets/d/test/images.npy") / 255
    x = (images - tensors["normalization.mean"].item()) / tensors["normalization.std"].item()
    x = x.reshape(len(x), -1)
    if model == "mlp":
        x = np.tanh(
            x @ tensors["body.linear1.weight"].numpy().T + tensors["body.linear1.bias"].numpy()
        )
    outputs = x @ tensors["head.weight"].numpy().T + tensors["head.bias"].numpy()
    labels = np.arange(13) % K
    losses = ((outputs - np.eye(K)[labels]) ** 2).sum(axis=1) / 2
    predictions = pd.read_parquet(folder / "predictions.parquet")
    found = predictions[predictions["split"] == "test"]["loss"]
    # Outputs that are no logits have no probabilities.
    scores = ["scaled_loss", "brier", "confidence", "scaled_confidence"]
    assert predictions[scores].isna().all(axis=None)
    assert files.read_json(folder / "evaluate.json")["info"] == {"temperature": None}
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    metrics = pd.read_parquet(folder / "metrics.parquet").query("split == 'test' and epoch == 3")
    assert metrics["loss"].item() == pytest.approx(losses.mean(), rel=1e-5)
    classes = pd.read_parquet(folder / "classes.parquet").query("split == 'test' and epoch == 3")
    means = [losses[labels == k].mean() for k in range(K)]
    np.testing.assert_allclose(classes["loss"], means, rtol=1e-5)
    history = pd.read_csv(folder / "history.csv")
    assert history["loss"][3] < history["loss"][1]


@pytest.mark.parametrize(("model", "engine"), [("linear", "linear"), ("mlp", "network")])
def test_float64_is_a_recipe_for_every_engine(root, model, engine):
    """torch's engine and NumPy's, from the same seed, leave runs that differ by rounding alone."""
    torchs = run(root, recipe_of(model, engine, precision="float64"))
    numpys = run(root, recipe_of(model, "numpy", precision="float64"), "other")
    single = run(root, recipe_of(model, engine), "single")
    for epoch in range(4):
        name = f"checkpoints/{paths.checkpoint(epoch)}"
        ours, theirs, rough = (checkpoints.load(f / name) for f in (numpys, torchs, single))
        assert ours.keys() == theirs.keys()
        assert theirs["head.weight"].dtype == torch.float64
        assert rough["head.weight"].dtype == torch.float32
        for key, tensor in theirs.items():
            assert (ours[key] - tensor).norm() <= 1e-10 * tensor.norm()
        torch.testing.assert_close(
            rough["head.weight"].double(), theirs["head.weight"], atol=1e-5, rtol=0
        )
    for table in ("metrics.parquet", "classes.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(numpys / table), pd.read_parquet(torchs / table), rtol=1e-5
        )


def test_a_float64_run_resumes_as_it_was(root, monkeypatch):
    recipe = recipe_of("mlp", "numpy", precision="float64")
    whole = run(root, recipe)
    encoded, calls = commits.checkpoints.encoded, []

    def dying(tensors):
        calls.append(tensors)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encoded(tensors)

    monkeypatch.setattr(commits.checkpoints, "encoded", dying)
    with pytest.raises(KeyboardInterrupt):
        loop.train(job("train", {**IDENTITY, "model": "killed"}, recipe, root))
    monkeypatch.undo()
    killed = run(root, recipe, "killed")
    assert files.read_json(killed / "run.json")["resumed_from"]
    for file in ("history.csv", "checkpoints/epoch-003.safetensors"):
        assert (whole / file).read_bytes() == (killed / file).read_bytes()


def test_the_penalty_of_a_run_does_not_depend_on_the_loss(root):
    recipe = dataclasses.replace(recipe_of("linear", "linear"), weight_decay=0.1)
    penalties = [
        pd.read_csv(run(root, each, name) / "history.csv")["weight_l2"][0]
        for name, each in [("a", recipe), ("b", dataclasses.replace(recipe, **SQUARED))]
    ]
    assert penalties[0] == penalties[1]
