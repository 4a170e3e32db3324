"""What a step does on a GPU, as far as a processor can show: no waiting, one update, one graph."""

from __future__ import annotations

import collections
import dataclasses
from itertools import chain

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cobaye import recipes
from cobaye.data.splits import Split
from cobaye.models import networks
from cobaye.training.engines import _cross_entropy, linear, linear_path, network
from tests.test_training import TRAINING

N, D, K, BATCH = 75, 6, 4, 16  # four full batches and one of 11
DECAYS, MOMENTA = (0.0, 0.1, 0.01), (0.9, 0.9, 0.0)
# Operators that make the processor wait for a GPU: their result, or its shape, is needed at once.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero"}


def data(images=N):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(images, D, generator=generator)
    return inputs, torch.randint(K, (images,), generator=generator)


def path_engine(images=N, **options):
    options = {"weight_decays": DECAYS, "momenta": MOMENTA, "batch_size": BATCH, **options}
    engine = linear_path.Engine(*data(images), K, **options)
    start = {"head.weight": torch.ones(K, D), "head.bias": torch.ones(K)}
    engine.restore([start] * len(DECAYS), {})
    return engine


@pytest.mark.parametrize("penalize_bias", [True, False])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("replays", [True, False])
def test_the_step_of_a_gpu_is_that_of_a_processor(monkeypatch, replays, nesterov, penalize_bias):
    """Three epochs, the learning rates of the third being others, and models that share a rate."""
    captures = []
    monkeypatch.setattr(linear_path, "capture", lambda step: captures.append(step) or step)
    options = {"nesterov": nesterov, "penalize_bias": penalize_bias, "dtype": torch.float64}
    ours, other = path_engine(**options), path_engine(**options)
    assert not ours.replays
    assert not ours.stacked
    other.stacked, other.replays = True, replays
    for number, rates in enumerate([(0.1, 0.1, 0.3)] * 2 + [(0.05, 0.1, 0.3)]):
        order = torch.randperm(N, generator=torch.Generator().manual_seed(number))
        for mine, its in zip(ours.epoch(order, rates), other.epoch(order, rates), strict=True):
            assert its.loss == pytest.approx(mine.loss, rel=1e-12)
            assert its.penalty == pytest.approx(mine.penalty, rel=1e-12)
            assert its.accuracy == mine.accuracy
            torch.testing.assert_close(its.losses, mine.losses, rtol=1e-12, atol=1e-14)
    for model in range(len(DECAYS)):
        torch.testing.assert_close(other.tensors(model), ours.tensors(model), rtol=1e-12, atol=0)
    torch.testing.assert_close(other.state(), ours.state(), rtol=1e-11, atol=1e-13)
    assert len(captures) == (2 if replays else 0)


class Counter(TorchDispatchMode):
    """Counts the operators that are called."""

    def __init__(self):
        super().__init__()
        self.calls = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def resnet(images):
    optimizer = dataclasses.replace(TRAINING.optimizer, batch_size=BATCH)
    kind = recipes.Kind("resnet-small", {"stem": 4, "widths": [4], "features": 4})
    recipe = dataclasses.replace(TRAINING, engine="network", model=kind, optimizer=optimizer)
    shown = torch.zeros(images, 1, 8, 8, dtype=torch.uint8)
    split = Split(shown, data(images)[1], K, {})
    return network.build(recipe, networks.build(kind, (1, 8, 8), K), split, None, "cpu")


def head(images, **options):
    options = {"weight_decay": 0.1, "momentum": 0.9, "batch_size": BATCH, **options}
    return linear.Engine(*data(images), K, **options)


def stacked(images, **options):
    engine = path_engine(images, **options)
    engine.stacked = True
    return engine


ENGINES = {
    "linear": head,
    "linear, max_norm": lambda images: head(images, max_norm=1.0),
    "linear, l1": lambda images: head(images, l1=0.1),
    "linear, λ per class": lambda images: head(images, weight_decay=(0.1, 0.2, 0.3, 0.0)),
    "linear, squared error": lambda images: head(images, loss="squared-error"),
    "linear-path": stacked,
    "linear-path, mixed": lambda images: stacked(images, mixed=True),
    "network": resnet,
}


@pytest.mark.parametrize("name", ENGINES)
def test_no_step_waits_for_its_results(name):
    """An epoch of thirty steps asks for as many values as one of three."""
    waits = []
    for steps in (3, 30):
        engine = ENGINES[name](steps * BATCH)
        rate = [0.1] * len(DECAYS) if name.startswith("linear-path") else 0.1
        engine.epoch(torch.arange(steps * BATCH), rate)  # what is asked once is asked here
        with Counter() as counter:
            engine.epoch(torch.arange(steps * BATCH), rate)
        assert sum(counter.calls.values()) > 5 * steps
        waits.append({op: n for op, n in counter.calls.items() if op in WAITS})
    assert waits[0] == waits[1]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("kind", ["linear", "linear, max_norm, l1", "squared-error", "linear-path"])
def test_steps_stay_on_the_gpu(monkeypatch, kind, mixed):
    """On a GPU that torch only imagines, and whose tensors it refuses to mix with others."""
    monkeypatch.setattr(_cross_entropy, "_check", lambda *arguments: None)  # it looks at the labels
    updated = []  # torch imagines no fused update
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *lists, **_: updated.extend(chain(*lists)))
    options = {"batch_size": BATCH, "device": "cuda", "mixed": mixed}
    single = {"momentum": 0.9, "weight_decay": 0.1, **options}
    with FakeTensorMode(), torch.no_grad():
        inputs, labels = torch.empty(N, D, dtype=torch.float16, device="cuda"), torch.arange(N) % K
        if kind == "linear-path":
            engine = linear_path.Engine(
                inputs, labels, K, weight_decays=DECAYS, momenta=MOMENTA, **options
            )
            assert engine.replays
            monkeypatch.setattr(linear_path, "capture", lambda step: step)
        elif kind == "squared-error":
            engine = linear.Engine(inputs, labels, K, loss=kind, **single)
        else:
            more = {"max_norm": 1.0, "l1": 0.1} if kind != "linear" else {}
            engine = linear.Engine(inputs, labels, K, **single, **more)
        # The sums of an epoch are asked for at its end, when all its steps are done.
        with pytest.raises(DataDependentOutputException):
            engine.epoch(torch.arange(N), [0.1] * 3 if kind == "linear-path" else 0.1)
    assert len(updated) >= 5 * 2 * 3
    assert {tensor.device.type for tensor in updated} == {"cuda"}
