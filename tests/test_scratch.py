"""The network from scratch has the gradients of finite differences and trains as torch does."""

from __future__ import annotations

import ast
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from cobaye import kinds, recipes
from cobaye.data import splits
from cobaye.data.normalization import normalization_of
from cobaye.models import networks
from cobaye.training import engines, loop, phases
from cobaye.training.scratch import functions, initialization, lesson
from cobaye.training.scratch.fully_connected import DeepNetwork, LinearNetwork
from cobaye.training.scratch.sgd import SGD
from cobaye.training.scratch.tensor import Module, Parameter, Tensor
from tests import scratch_equations as equations
from tests.conftest import ROOT

N, D, K = 23, 7, 4


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def slopes(function, array, step=1e-6):
    """Return ∂function/∂array by central differences; the array is as it was afterwards."""
    found = np.empty_like(array)
    for place in np.ndindex(array.shape):
        value = array[place]
        array[place] = value + step
        above = function()
        array[place] = value - step
        found[place] = (above - function()) / (2 * step)
        array[place] = value
    return found


def total(tensor, weights):
    """Return a scalar that weighs each value differently."""
    return Tensor((tensor.data * weights).sum(), (tensor,), lambda g: (g * weights,))


FUNCTIONS = {
    "relu": (functions.relu, (N, K)),
    "tanh": (functions.tanh, (N, K)),
    "nll": (lambda x: functions.nll(x, np.arange(N) % K), (N,)),
    "squared_error": (lambda x: functions.squared_error(x, np.arange(N) % K), (N,)),
    "softmax_squared_error": (
        lambda x: functions.softmax_squared_error(x, np.arange(N) % K),
        (N,),
    ),
    "mean": (functions.mean, ()),
    "dropout": (lambda x: functions.dropout(x, 0.4, np.random.default_rng(3)), (N, K)),
    "twice": (lambda x: functions.affine(functions.tanh(x), x, Tensor(np.ones(N))), (N, N)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_gradient_is_the_finite_difference(name, generator):
    function, shape = FUNCTIONS[name]
    data, weights = generator.normal(size=(N, K)), generator.normal(size=shape)
    # An ancestor, so that `affine` is asked for ∂L/∂x as in a deeper network.
    x = Tensor(data, (Tensor(data),), lambda g: (None,))
    total(function(x), weights).backward()
    expected = slopes(lambda: (function(Tensor(data)).data * weights).sum(), data)
    np.testing.assert_allclose(x.gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["x", "weight", "bias"])
def test_affine_has_three_gradients(which, generator):
    arrays = [generator.normal(size=shape) for shape in ((N, D), (K, D), (K,))]
    weights = generator.normal(size=(N, K))
    x = Tensor(arrays[0], (Tensor(arrays[0]),), lambda g: (g,))
    tensors = [x, Tensor(arrays[1]), Tensor(arrays[2])]
    total(functions.affine(*tensors), weights).backward()
    expected = slopes(
        lambda: (functions.affine(*map(Tensor, arrays)).data * weights).sum(), arrays[which]
    )
    np.testing.assert_allclose(tensors[which].gradient, expected, rtol=1e-6, atol=1e-8)


def test_of_one_image_the_weight_gradient_is_an_outer_product(generator):
    x, weight = generator.normal(size=(1, D)), Tensor(generator.normal(size=(K, D)))
    g = generator.normal(size=(1, K))
    functions.affine(Tensor(x), weight, Tensor(np.zeros(K))).backward(g)
    np.testing.assert_array_equal(weight.gradient, np.outer(g, x))


@pytest.mark.parametrize("scale", [1.0, 1e4, -1e4])
def test_softmax_and_nll_are_stable(scale, generator):
    logits, labels = generator.normal(size=(N, K)) * scale, np.arange(N) % K
    wide = torch.from_numpy(logits)
    x = Tensor(logits)
    losses = functions.nll(x, labels)
    losses.backward(np.ones(N))
    np.testing.assert_allclose(functions.softmax(logits), wide.softmax(1), rtol=1e-13, atol=1e-300)
    expected = torch.nn.functional.cross_entropy(wide, torch.from_numpy(labels), reduction="none")
    np.testing.assert_allclose(losses.data, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(x.gradient.sum(1), 0, atol=1e-12)
    assert np.isfinite(x.gradient).all()


def test_a_tensor_used_twice_sums_its_gradients_and_passes_them_on_once():
    calls = []

    def double(x, name):
        def pullback(g):
            calls.append(name)
            return (2 * g,)

        return Tensor(2 * x.data, (x,), pullback)

    x = Tensor(np.array(3.0))
    y = double(x, "y")
    both = Tensor(y.data * y.data, (y, y), lambda g: (g * y.data, g * y.data))
    both.backward()
    assert x.gradient == pytest.approx(8 * 3.0)  # of (2 x)²
    assert calls == ["y"]


def test_a_long_history_is_no_recursion():
    x = Tensor(np.array(1.0))
    y = x
    for _ in range(5000):
        y = Tensor(y.data, (y,), lambda g: (g,))
    y.backward()
    assert x.gradient == 1


def test_a_module_collects_its_parameters_wherever_they_are():
    class Own(Module):
        def __init__(self):
            self.single = Parameter("a", np.zeros(1))
            self.several = [Parameter("b", np.zeros(1)), (Parameter("c", np.zeros(1)),)]
            self.inner = LinearNetwork(2, 3)
            self.other = 5

    names = [p.name for p in Own().parameters()]
    assert names == ["a", "b", "c", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("draw", "limit"),
    [
        (initialization.glorot, (6 / (300 + 200)) ** 0.5),
        (initialization.kaiming, (6 / 300) ** 0.5),
    ],
    ids=["glorot", "kaiming"],
)
def test_initialization_is_uniform_to_its_limit_and_in_place(draw, limit, generator):
    weight = np.zeros((200, 300))
    view = weight[:]
    draw(weight, generator)
    assert np.abs(view).max() <= limit
    assert np.abs(view).max() > 0.999 * limit
    # Deviation of a uniform distribution, from 60,000 draws: within 4 standard errors.
    assert view.std() == pytest.approx(limit / 3**0.5, rel=0.01)


def test_networks_are_initialised_in_place(generator):
    network = DeepNetwork(D, [5, 3], K, "relu")
    held = [p.data for p in network.parameters()]
    network.initialize(generator)
    assert all(p.data is array for p, array in zip(network.parameters(), held, strict=True))
    names = ["body.linear1", "body.linear2", "head"]
    assert [p.name for p in network.parameters()] == [
        f"{name}.{kind}" for name, kind in itertools.product(names, ("weight", "bias"))
    ]
    assert all(p.data.any() == p.name.endswith("weight") for p in network.parameters())


def test_dropout_keeps_the_mean_and_its_share(generator):
    dropped = functions.dropout(Tensor(np.ones((400, 100))), 0.3, generator).data
    assert set(np.unique(dropped)) == {0.0, 1 / 0.7}
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)


def test_the_lesson_keeps_the_best_epoch(generator):
    images = generator.normal(size=(120, D))
    labels = images[:, :K].argmax(1)
    data, held = lesson.Data(images[:80], labels[:80]), lesson.Data(images[80:], labels[80:])
    network = LinearNetwork(D, K)
    network.initialize(generator)
    optimizer = SGD(network.parameters(), 0.1)
    rows = lesson.train(network, optimizer, data, held, epochs=8, seed=1)
    assert len(rows) == 9
    assert rows[-1].loss < rows[1].loss
    best = max(row.val_accuracy for row in rows)
    assert best > rows[0].val_accuracy
    assert lesson.accuracy(network, held) == best


# Trainings against torch.

IMAGES = torch.randint(0, 256, (53, 1, 3, 4), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, K, (53,), generator=torch.Generator().manual_seed(1))
SPLIT = splits.Split(IMAGES.to(torch.uint8), LABELS, K, {})
MODELS = {
    "linear": recipes.Kind("linear", {}),
    "tanh": recipes.Kind("mlp", {"widths": [9], "activation": "tanh", "initialization": "glorot"}),
    "relu-relu": recipes.Kind("mlp", {"widths": [9, 6], "initialization": "he"}),
}


def recipe_of(model, **changes):
    optimizer = recipes.Optimizer(
        algorithm=recipes.Kind("sgd", {"momentum": changes.pop("momentum", 0.0)}),
        learning_rate=0.05,
        schedule=recipes.Kind("exponential", {"decay": 0.1}),
        batch_size=changes.pop("batch_size", 1),
        epochs=3,
        normalize="global",
    )
    defaults = dataclasses.asdict(kinds.options("networks", MODELS[model].kind)())
    filled = recipes.Kind(MODELS[model].kind, {**defaults, **MODELS[model].options})
    given = recipes.Kind("sgd", {"nesterov": False, **optimizer.algorithm.options})
    return recipes.Training(
        data=recipes.Data("d", None),
        engine="numpy",
        model=filled,
        optimizer=dataclasses.replace(optimizer, algorithm=given),
        weight_decay=changes.pop("weight_decay", 0.0),
        penalize_bias=changes.pop("penalize_bias", True),
        seed=0,
        precision=changes.pop("precision", "float64"),
        **changes,
    )


def trained(recipe, engine, epochs=3, resume_after=None):
    """Return the engine after some epochs, and what it says of each."""
    recipe = dataclasses.replace(recipe, engine=engine)
    normalization = normalization_of(SPLIT.inputs, recipe.optimizer.normalize)

    def build():
        network = networks.build(recipe.model, (1, 3, 4), K, recipe.seed)
        return engines.build(recipe, network, SPLIT, normalization, "cpu")

    own, seen = build(), []
    for epoch in range(1, epochs + 1):
        torch.manual_seed(epoch)
        order = loop.batch_order(recipe.seed, epoch, len(LABELS))
        seen.append(own.epoch(order, phases.learning_rate(recipe.optimizer, epoch)))
        if epoch == resume_after:
            tensors = {name: t.clone() for name, t in own.tensors().items()}
            state = {name: t.clone() for name, t in own.state().items()}
            own = build()
            own.restore(tensors, state)
    return own, seen


CASES = [
    *itertools.product(MODELS, (1, 8), ("cross-entropy", "squared-error"), ("network",)),
    ("tanh", 1, "softmax-squared-error", "network"),
    ("relu-relu", 8, "softmax-squared-error", "network"),
    ("linear", 8, "softmax-squared-error", "network"),
    ("linear", 1, "cross-entropy", "linear"),
    ("linear", 8, "squared-error", "linear"),
]


@pytest.mark.parametrize(("model", "batch_size", "loss", "other"), CASES)
def test_a_training_is_that_of_torch(model, batch_size, loss, other):
    recipe = recipe_of(model, batch_size=batch_size, loss=loss)
    same(recipe, other)


@pytest.mark.parametrize("penalize_bias", [True, False])
@pytest.mark.parametrize("other", ["network", "linear"])
def test_penalty_and_momentum_are_those_of_torch(penalize_bias, other):
    model = "linear" if other == "linear" else "tanh"
    same(
        recipe_of(
            model, batch_size=8, momentum=0.9, weight_decay=0.03, penalize_bias=penalize_bias
        ),
        other,
    )


def same(recipe, other):
    """Both engines, from the same weights and in the same order: relative difference ≤ 1e-10."""
    (ours, seen), (theirs, expected) = trained(recipe, "numpy"), trained(recipe, other)
    assert ours.tensors().keys() == theirs.tensors().keys()
    for name, tensor in theirs.tensors().items():
        difference = (ours.tensors()[name] - tensor).norm() / tensor.norm()
        assert tensor.dtype == torch.float64
        assert difference <= 1e-10, name
    for a, b in zip(seen, expected, strict=True):
        assert (a.loss, a.penalty) == pytest.approx((b.loss, b.penalty), rel=1e-10)
        assert a.accuracy == pytest.approx(b.accuracy, abs=1e-6)
        torch.testing.assert_close(a.losses, b.losses, rtol=1e-9, atol=1e-12)


def test_float32_is_computed_in_float32():
    ours, seen = trained(recipe_of("tanh", precision="float32", batch_size=8), "numpy")
    exact, _ = trained(recipe_of("tanh", batch_size=8), "numpy")
    assert seen[-1].losses.dtype == torch.float32
    for name, tensor in ours.tensors().items():
        assert tensor.dtype == torch.float32
        difference = (exact.tensors()[name] - tensor).norm() / tensor.norm()
        assert 1e-9 < difference < 1e-4


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_resumed_training_is_the_same(momentum):
    recipe = recipe_of("tanh", batch_size=8, momentum=momentum, weight_decay=0.01)
    dropping = recipes.Kind("mlp", {**recipe.model.options, "dropout": 0.3})
    recipe = dataclasses.replace(recipe, model=dropping)
    whole, _ = trained(recipe, "numpy")
    resumed, _ = trained(recipe, "numpy", resume_after=2)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name])
    plain, _ = trained(recipe_of("tanh", batch_size=8, momentum=momentum), "numpy")
    assert not torch.equal(plain.tensors()["head.bias"], whole.tensors()["head.bias"])


def test_a_divergence_is_a_result():
    recipe = recipe_of("relu-relu", loss="squared-error")
    fast = dataclasses.replace(recipe.optimizer, learning_rate=1e6)
    _, seen = trained(dataclasses.replace(recipe, optimizer=fast), "numpy")
    assert not np.isfinite(seen[-1].loss)


# The equations by hand.


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_the_equations_by_hand_are_the_finite_differences(loss, generator):
    X, Y = generator.normal(size=(N, D)), np.eye(K)[np.arange(N) % K]
    parameters = equations.init_parameters(D, 6, K, generator)

    def mean():
        return equations.loss_accuracy(equations.forward(parameters, X), Y, loss)[0]

    found = equations.backward(parameters, equations.forward(parameters, X), X, Y, loss)
    for name, array in parameters._asdict().items():
        np.testing.assert_allclose(
            getattr(found, name), slopes(mean, array), rtol=1e-6, atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("loss", ["cross-entropy", "softmax-squared-error"])
@pytest.mark.parametrize("batch_size", [None, 8, 1], ids=["full", "mini-batch", "one"])
def test_the_equations_by_hand_are_the_network_of_tensors(batch_size, loss, generator):
    X, labels = generator.normal(size=(N, D)), np.arange(N) % K
    start = equations.init_parameters(D, 6, K, generator)
    end = equations.train(
        start,
        X,
        np.eye(K)[labels],
        eta=0.1,
        epochs=1,
        batch_size=batch_size,
        generator=np.random.default_rng(5),
        loss=loss.removeprefix("softmax-"),
    )
    network = DeepNetwork(D, [6], K)
    for parameter, array in zip(network.parameters(), start, strict=True):
        parameter.data[...] = array
    optimizer = SGD(network.parameters(), 0.1)
    order = np.random.default_rng(5).permutation(N)
    lesson.epoch(network, optimizer, lesson.Data(X, labels), order, batch_size or N, loss)
    for parameter, array in zip(network.parameters(), end, strict=True):
        np.testing.assert_allclose(parameter.data, array, rtol=1e-12, atol=1e-15)


def test_nothing_but_numpy_is_imported():
    files = list((ROOT / "workflow/cobaye/training/scratch").glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                standard = {"__future__", "collections.abc", "itertools", "math", "typing"}
                assert name in standard | {"numpy"} or name.startswith("cobaye.training.scratch"), (
                    file
                )
