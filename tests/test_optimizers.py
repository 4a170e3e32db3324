"""Every algorithm steps as torch's of the same name, and resumes from its state."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import subprocess
import sys

import pytest
import torch

from cobaye import kinds
from cobaye.storage import files
from cobaye.training import optimizers
from tests import test_training as base
from tests.examples import example, parsed

root = base.root
# Those that a whole engine stands for take no steps.
STEPPING = [k for k in kinds.names("optimizers") if not kinds.constant("optimizers", k, "ENGINE")]
CLASSES = {name.lower(): value for name, value in vars(torch.optim).items()}
NAMESAKES = {kind: CLASSES[kind] for kind in STEPPING if kind in CLASSES}
RATE, DECAY = 0.01, 0.3
every_kind = pytest.mark.parametrize("kind", STEPPING)


def groups(decay=0.0):
    """Return a kernel and a bias, each in a group of its own."""
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 4), (3,)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [{"params": [torch.nn.Parameter(each)], "weight_decay": decay} for each in values]


def parameters(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def built(kind, decay=0.0, **given):
    return optimizers.build(example("optimizers", kind, **given), groups(decay), RATE)


def of_torch(kind, given):
    theirs, arguments = inspect.signature(NAMESAKES[kind]).parameters, {}
    for name, value in given.items():
        both = f"{name[:-1]}s"  # beta1, beta2: torch's betas
        arguments |= {name: value} if name in theirs else {both: (*arguments.get(both, ()), value)}
    return NAMESAKES[kind](groups(), lr=RATE, **arguments)


@torch.no_grad()
def path(optimizer, coupled=0.0, decoupled=0.0):
    """Return the weights after steps on quadratics of changing curvature around 1.

    coupled: λ, whose term is added to the gradients. decoupled: λ, by which weights are shrunk.
    """
    for curvature in (10.0, 0.1, 1.0, 0.01, 2.0):
        for p in parameters(optimizer):
            each = torch.linspace(0.5, 2, p.numel(), dtype=p.dtype).view_as(p)
            p.grad = curvature * each * (p - 1) + coupled * p
            p *= 1 - RATE * decoupled
        optimizer.step()
    return torch.cat([p.flatten() for p in parameters(optimizer)])


def changed(value):
    return not value if isinstance(value, bool) else value / 2 or 0.1


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (kind, field.name)
        for kind in NAMESAKES
        for field in dataclasses.fields(kinds.options("optimizers", kind))
        if isinstance(field.default, float | bool)
    ],
)
def test_each_option_is_torchs_default_and_does_what_torchs_does(kind, option):
    plain = path(built(kind))
    # Momentum is what one takes SGD for here.
    theirs = path(of_torch(kind, {"momentum": 0.9} if kind == "sgd" else {}))
    torch.testing.assert_close(plain, theirs, rtol=1e-12, atol=0)
    given = example("optimizers", kind).options
    given = {**given, option: changed(given[option])}
    ours = path(built(kind, **given))
    torch.testing.assert_close(ours, path(of_torch(kind, given)), rtol=1e-12, atol=0)
    assert not torch.equal(ours, plain)


@every_kind
def test_weight_decay_is_part_of_the_gradient_or_shrinks_the_weights(kind):
    given, none = path(built(kind, DECAY)), path(built(kind))
    coupled, decoupled = path(built(kind), coupled=DECAY), path(built(kind), decoupled=DECAY)
    assert not torch.allclose(given, none, rtol=1e-6)
    found = [torch.allclose(given, each, rtol=1e-9, atol=0) for each in (coupled, decoupled)]
    # Adam's and SGD's are L2 penalties; AdamW is Adam with the other.
    assert sum(found) == 1
    assert kind not in NAMESAKES or found == [kind != "adamw", kind == "adamw"]


@every_kind
def test_steps_follow_the_rate_of_the_groups_down_the_slope(kind):
    optimizer = built(kind, DECAY)
    start = [p.detach().clone() for p in parameters(optimizer)]
    assert [group["lr"] for group in optimizer.param_groups] == [RATE, RATE]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    path(optimizer)
    torch.testing.assert_close(parameters(optimizer), start, rtol=1e-12, atol=0)
    before = sum((p - 1).square().sum() for p in start)
    optimizer = built(kind)
    path(optimizer)
    assert sum((p - 1).square().sum() for p in parameters(optimizer)) < before


def test_no_optimizer_imports_torchs_compiler():
    """Its import takes as long as that of torch."""
    code = (
        "import sys; from tests.test_optimizers import *\n"
        "for optimizer in map(built, STEPPING):\n"
        "    path(optimizer), optimizer.zero_grad()\n"
        "    optimizer.load_state_dict(optimizer.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("adagrad", {"eps": -1.0}),
        ("adadelta", {"rho": 1.1}),
        ("adadelta", {"eps": -1.0}),
        ("rmsprop", {"alpha": 1.0}),
        ("rmsprop", {"momentum": 1.0}),
        ("rmsprop", {"eps": -1.0}),
        ("adam", {"beta2": 1.0}),
        ("adamw", {"beta1": -0.1}),
        ("adamw", {"eps": -1.0}),
    ],
)
def test_options_out_of_range_are_refused(kind, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        parsed("optimizers", kind, **given)


STATEFUL = [
    ("adagrad", {"lr_decay": 0.01}),
    ("rmsprop", {"momentum": 0.5, "centered": True}),
    ("adam", {"amsgrad": True}),
]


@pytest.mark.parametrize(("kind", "given"), [*((kind, {}) for kind in STEPPING), *STATEFUL])
def test_an_interrupted_run_ends_the_same_in_both_engines(root, kind, given):
    """And the engines, closed form and autograd, train alike."""
    algorithm = example("optimizers", kind, **given)
    optimizer = dataclasses.replace(base.OPTIMIZER, algorithm=algorithm, learning_rate=RATE)
    ends = []
    for engine in ("linear", "network"):
        recipe = dataclasses.replace(
            base.TRAINING, engine=engine, optimizer=optimizer, precision="float64"
        )
        folder, _ = base.train(root, recipe)
        expected = base.products(folder)
        ends.append(base.weights(folder, 4))
        shutil.rmtree(folder)
        base.interrupt(root, recipe)
        base.train(root, recipe)
        assert files.read_json(folder / "run.json")["resumed_from"] == [2]
        assert base.products(folder) == expected
        shutil.rmtree(folder)
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-9)
