"""The linear engine trains as torch.optim does and reaches scikit-learn's optimum."""

import dataclasses
import functools

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from cobaye import objective
from cobaye.data.splits import Split
from cobaye.errors import ConfigError
from cobaye.objective import matmul
from cobaye.training.engines import _cross_entropy, _tensors
from cobaye.training.engines.linear import Engine
from tests.reference import value
from tests.test_training import TRAINING

N, D, K, BATCH = 75, 6, 4, 32  # batches of 32, 32 and 11
RATE = 0.3


def data(count=N, width=D, classes=K, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=g)
    centres = torch.randn(classes, width, generator=g, dtype=torch.float64)
    inputs = centres[labels] + torch.randn(count, width, generator=g, dtype=torch.float64)
    return inputs.to(dtype), labels


def start(width=D, classes=K, dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(classes, width, generator=g, dtype=torch.float64)
    bias = torch.randn(classes, generator=g, dtype=torch.float64)
    return {"head.weight": weight.to(dtype), "head.bias": bias.to(dtype)}


def orders(epochs, count=N):
    g = torch.Generator().manual_seed(2)
    return [torch.randperm(count, generator=g) for _ in range(epochs)]


def make(inputs, labels, classes=K, **options):
    options = {"weight_decay": 0.05, "momentum": 0.9, "batch_size": BATCH, **options}
    engine = Engine(inputs, labels, classes, **options)
    tensors = start(inputs.shape[1], classes, engine.weight.dtype)
    engine.restore(tensors, {})
    return engine


def reference(inputs, labels, order, make_optimizer, decay, penalize_bias=True, classes=K):
    """Return parameters after training by autograd, and each epoch's statistics."""
    model = torch.nn.Linear(inputs.shape[1], classes, dtype=inputs.dtype)
    tensors = start(inputs.shape[1], classes, inputs.dtype)
    model.load_state_dict({name.removeprefix("head."): t for name, t in tensors.items()})
    groups = [
        {"params": [model.weight], "weight_decay": decay},
        {"params": [model.bias], "weight_decay": decay * penalize_bias},
    ]
    optimizer, epochs = make_optimizer(groups), []
    for permutation in order:
        losses, penalties, hits = torch.zeros_like(inputs[:, 0]), 0.0, 0
        for batch in permutation.split(BATCH):
            logits = model(inputs[batch])
            each = functional.cross_entropy(logits, labels[batch], reduction="none")
            penalty = objective.penalty(
                dict(model.named_parameters()), decay, penalize_bias=penalize_bias
            )
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
            losses[batch] = each.detach()
            penalties += penalty.item() * len(batch)
            hits += (logits.argmax(1) == labels[batch]).sum().item()
        epochs.append((losses, penalties / len(inputs), hits / len(inputs)))
    return model, epochs


@pytest.fixture(params=["mkl", "onednn"])
def product(request, monkeypatch):
    """Each of the two ways to multiply in float32, whatever the size."""
    monkeypatch.setattr(_cross_entropy, "LARGE_PRODUCT", 0)
    with matmul.library(request.param):
        yield request.param


@pytest.mark.parametrize("penalize_bias", [True, False], ids=["bias-in", "bias-out"])
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_torch_sgd(product, dtype, momentum, decay, penalize_bias):
    inputs, labels = data(dtype=dtype)
    sgd = functools.partial(torch.optim.SGD, lr=RATE, momentum=momentum)
    model, expected = reference(inputs, labels, orders(3), sgd, decay, penalize_bias)
    engine = make(
        inputs, labels, momentum=momentum, weight_decay=decay, penalize_bias=penalize_bias
    )
    close = functools.partial(torch.testing.assert_close, rtol=0)
    atol = 1e-12 if dtype == torch.float64 else 2e-5
    for order, (losses, penalty, accuracy) in zip(orders(3), expected, strict=True):
        epoch = engine.epoch(order, RATE)
        close(epoch.losses, losses, atol=atol)
        assert epoch.losses.dtype == dtype
        assert epoch.loss == epoch.losses.mean(dtype=torch.float64).item()
        assert epoch.penalty == pytest.approx(penalty, rel=1e-12 if atol < 1e-9 else 1e-5)
        assert epoch.accuracy == accuracy
    by_onednn = product == "onednn" and dtype == torch.float32
    assert (engine.loss.product is not matmul.plain) == by_onednn
    close(engine.tensors()["head.weight"], model.weight.detach(), atol=atol)
    close(engine.tensors()["head.bias"], model.bias.detach(), atol=atol)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Nesterov", "Adagrad"])
def test_other_optimizers_equal_autograd_and_resume(name):
    factory = {
        "Nesterov": functools.partial(torch.optim.SGD, lr=1.0, momentum=0.9, nesterov=True),
        "Adam": torch.optim.Adam,
        "AdamW": torch.optim.AdamW,
        "Adagrad": torch.optim.Adagrad,
    }[name]
    inputs, labels = data()

    def with_rate(groups):
        return factory(groups, lr=0.03)

    model, _ = reference(inputs, labels, orders(4), with_rate, 0.05, penalize_bias=False)
    options = {"momentum": 0.0, "penalize_bias": False, "optimizer": factory}
    engine, resumed = make(inputs, labels, **options), make(inputs, labels, **options)
    for order in orders(4)[:2]:
        engine.epoch(order, 0.03)
    resumed.epoch(orders(1)[0], 0.5)
    resumed.restore(engine.tensors(), engine.state())
    for order in orders(4)[2:]:
        engine.epoch(order, 0.03)
        resumed.epoch(order, 0.03)
    torch.testing.assert_close(engine.weight, model.weight.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(engine.bias, model.bias.detach(), rtol=0, atol=1e-12)
    assert engine.state().keys() == resumed.state().keys() != set()
    for name, tensor in {**engine.tensors(), **engine.state()}.items():
        assert torch.equal(tensor, {**resumed.tensors(), **resumed.state()}[name])


def test_momentum_and_optimizer_exclude_each_other():
    with pytest.raises(ValueError, match=r"momentum is 0\.9"):
        make(*data(), optimizer=torch.optim.Adam)


def test_converges_to_scikit_learn():
    inputs, labels = data(200)
    decay = 0.02
    theirs = LogisticRegression(C=1 / (decay * 200), tol=1e-10, max_iter=10_000)
    theirs.fit(inputs.numpy(), labels.numpy())
    engine = make(inputs, labels, weight_decay=decay, batch_size=200, penalize_bias=False)
    for order in orders(600, 200):
        epoch = engine.epoch(order, 0.5)

    weight, bias = (torch.from_numpy(a) for a in (theirs.coef_, theirs.intercept_))
    torch.testing.assert_close(engine.weight, weight, rtol=0, atol=1e-6)
    # The intercepts are unpenalised, so only their differences are determined.
    torch.testing.assert_close(
        engine.bias - engine.bias.mean(), bias - bias.mean(), rtol=0, atol=1e-6
    )
    best = value(weight, bias, inputs, labels, decay, penalize_bias=False).item()
    assert epoch.loss + epoch.penalty == pytest.approx(best, abs=1e-10)
    predicted = (inputs @ engine.weight.T + engine.bias).argmax(1)
    assert predicted.tolist() == theirs.predict(inputs.numpy()).tolist()


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
def test_restored_midway_equals_uninterrupted_byte_for_byte(product, mixed):
    inputs, labels = data(dtype=torch.float32)
    whole, first, second = (make(inputs, labels, mixed=mixed) for _ in range(3))
    epochs = [whole.epoch(order, RATE) for order in orders(4)]
    for order in orders(4)[:2]:
        first.epoch(order, RATE)
    second.epoch(torch.arange(N), 2.0)  # leaves a velocity that must not survive
    second.restore(first.tensors(), first.state())
    for order, expected in zip(orders(4)[2:], epochs[2:], strict=True):
        epoch = second.epoch(order, RATE)
        assert torch.equal(epoch.losses, expected.losses)
        assert (epoch.loss, epoch.penalty) == (expected.loss, expected.penalty)
    assert torch.equal(second.theta, whole.theta)
    assert torch.equal(second.velocity, whole.velocity)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_same_calls_give_the_same_bytes_on_two_threads():
    inputs, labels = data(512, width=256, classes=200, dtype=torch.float32)
    engines = [make(inputs.clone(), labels, classes=200, batch_size=256) for _ in range(2)]
    for engine in engines:
        for order in orders(2, 512):
            engine.epoch(order, RATE)
    assert all(torch.equal(engine.theta, engines[0].theta) for engine in engines)


def test_restore_with_an_empty_state_is_a_fresh_start():
    used, fresh = make(*data()), make(*data())
    used.epoch(torch.arange(N), RATE)
    used.restore(start(), {})
    for engine in (used, fresh):
        engine.epoch(torch.arange(N), RATE)
    assert torch.equal(used.theta, fresh.theta)


def test_restore_refuses_other_shapes():
    engine = make(*data())
    tensors = {"head.weight": torch.zeros(1, 1), "head.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match="cannot restore"):
        engine.restore(tensors, {})
    with pytest.raises(ValueError, match="cannot restore"):
        engine.restore(engine.tensors(), {"head.bias.momentum_buffer": torch.zeros(K)})


def test_half_precision_inputs_are_converted_batch_by_batch():
    inputs, labels = data(dtype=torch.float16)
    half, single = make(inputs, labels), make(inputs.float(), labels)
    for order in orders(2):
        assert torch.equal(half.epoch(order, RATE).losses, single.epoch(order, RATE).losses)
    assert half.weight.dtype == torch.float32
    assert torch.equal(half.theta, single.theta)


def test_inputs_may_be_a_memory_map(tmp_path):
    inputs, labels = data(dtype=torch.float32)
    inputs.numpy().tofile(tmp_path / "inputs.bin")
    mapped = torch.from_file(str(tmp_path / "inputs.bin"), shared=True, size=N * D).view(N, D)
    a, b = make(inputs, labels), make(mapped, labels)
    for order in orders(2):
        a.epoch(order, RATE)
        b.epoch(order, RATE)
    assert torch.equal(a.theta, b.theta)


def test_all_classes_tied_counts_as_wrong():
    inputs, labels = data(count=BATCH)
    engine = Engine(inputs, labels, K, weight_decay=0.0, batch_size=BATCH)
    assert engine.epoch(torch.arange(BATCH), 0.0).accuracy == 0


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_losses_of_large_logits_are_exact(scale):
    inputs, labels = torch.ones(3, 1), torch.tensor([0, 1, 2])
    engine = Engine(inputs, labels, 3, weight_decay=0.0, batch_size=3)
    weight = torch.tensor([[scale], [-scale], [0.0]])
    engine.restore({"head.weight": weight, "head.bias": torch.zeros(3)}, {})
    epoch = engine.epoch(torch.arange(3), 0.0)
    torch.testing.assert_close(epoch.losses, torch.tensor([0, 2 * scale, scale]))
    assert epoch.accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_divergence_shows_and_does_not_raise(product, value):
    inputs, labels = data(dtype=torch.float32)
    inputs[3, 1] = value
    engine = make(inputs, labels)
    engine.epoch(torch.arange(N), RATE)
    epoch = engine.epoch(torch.arange(N), RATE)
    assert not torch.tensor(epoch.loss).isfinite()
    assert not torch.tensor(epoch.penalty).isfinite()
    assert epoch.accuracy == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.full((N,), K)}, rf"labels go from {K} to {K}, outside \[0, {K}\)"),
        ({"labels": torch.zeros(N)}, r"labels are \(75,\) float32"),
        ({"inputs": torch.zeros(N, D, dtype=torch.uint8)}, r"inputs are \(75, 6\) uint8"),
        ({"inputs": torch.zeros(0, D)}, r"inputs are \(0, 6\)"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    inputs, labels = data()
    arguments = {"inputs": inputs, "labels": labels, "batch_size": BATCH, **changes}
    with pytest.raises(ValueError, match=message):
        Engine(classes=K, weight_decay=0.0, **arguments)


def test_bad_order_is_named():
    with pytest.raises(ValueError, match=r"order is \(3,\) int64, not \(75,\) int64"):
        make(*data()).epoch(torch.arange(3), RATE)


def memory_events(batch_size, images=512):
    """Return the bytes allocated (positive) and freed (negative) by an engine's second epoch."""
    inputs, labels = data(images, width=64, classes=50, dtype=torch.float32)
    engine = make(inputs, labels, classes=50, batch_size=batch_size)
    engine.epoch(torch.arange(images), RATE)
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        epoch = engine.epoch(torch.arange(images), RATE)
    events = [event.nbytes() for event in profile.profiler.kineto_results.events()]
    assert max(events) >= epoch.losses.nbytes
    return events


def test_an_epoch_keeps_no_memory_but_the_losses(product):
    assert sum(memory_events(16)) <= 512 * 4 + 64


def test_steps_allocate_nothing_by_torch_mm(monkeypatch):
    monkeypatch.setattr(_cross_entropy, "LARGE_PRODUCT", 1e18)
    few, many = (sum(n for n in memory_events(size) if n > 0) for size in (256, 16))
    assert many - few <= 64 * (512 // 16)  # one number per step: its penalty


def rounded(tensor):
    """Return a tensor's values as bfloat16 has them, in float64."""
    return tensor.bfloat16().double()


def test_a_mixed_step_is_that_of_rounded_factors():
    """Against float64: inputs, weights, residuals and, on CPU, sums are rounded; nothing else."""
    inputs, labels = data(BATCH, dtype=torch.float32)
    engine = make(inputs, labels, weight_decay=0.0, momentum=0.0, mixed=True)
    weight, bias = (tensor.clone() for tensor in engine.parameters())
    epoch = engine.epoch(torch.arange(BATCH), RATE)

    x = rounded(inputs)
    logits = rounded(x @ rounded(weight).T) + bias
    losses = functional.cross_entropy(logits, labels, reduction="none")
    residual = (logits.softmax(1) - functional.one_hot(labels, K)) / BATCH
    torch.testing.assert_close(epoch.losses.double(), losses, rtol=0, atol=1e-6)
    # A sum in another order may be rounded to the next bfloat16: 2⁻⁸ of it.
    step = RATE * (rounded(residual).T @ x)
    torch.testing.assert_close((weight - engine.weight).double(), step, rtol=2**-7, atol=1e-6)
    expected = RATE * residual.sum(0)
    torch.testing.assert_close((bias - engine.bias).double(), expected, rtol=0, atol=1e-6)
    assert engine.weight.dtype == torch.float32


def test_mixed_losses_stay_near_those_of_float32():
    inputs, labels = data(2_000, width=64, classes=20, dtype=torch.float32)
    exact, mixed = (make(inputs, labels, 20, mixed=mixed) for mixed in (False, True))
    for order in orders(10, 2_000):
        found, expected = mixed.epoch(order, 0.1), exact.epoch(order, 0.1)
    assert found.loss == pytest.approx(expected.loss, rel=3e-3)
    assert found.accuracy == pytest.approx(expected.accuracy, abs=5e-3)


@pytest.mark.parametrize("images", [4, 512])
def test_bfloat16_is_refused_where_it_gains_nothing(monkeypatch, images):
    recipe = dataclasses.replace(TRAINING, precision="bfloat16")
    split = Split(torch.zeros(images, 512), torch.zeros(images, dtype=torch.int64), 100, {})
    monkeypatch.setattr(matmul, "has_bfloat16", lambda device: images == 4)
    message = "batches of 4 images of 512 features" if images == 4 else "multiplies no bfloat16"
    with pytest.raises(ConfigError, match=f"precision: 'bfloat16': .*{message}"):
        _tensors.precision_of(recipe, split, "cpu")


def test_small_products_are_torchs_own(monkeypatch):
    """Whose cost per call is lower, whatever the processor."""
    monkeypatch.setattr(matmul, "fastest", lambda: "onednn")
    engine = make(*data(dtype=torch.float32))
    engine.epoch(torch.arange(N), RATE)
    assert engine.loss.product is matmul.plain


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ("Intel(R) Xeon(R) Processor (family 6, model 167)", "mkl"),
        ("AMD EPYC 9R14 (family 25, model 17)", "onednn"),
        ("aarch64 (family ?, model ?)", "onednn"),
    ],
)
def test_the_library_is_chosen_by_the_processors_maker(processor, expected, monkeypatch):
    monkeypatch.setattr(matmul.machine, "processor", lambda: processor)
    assert matmul.fastest.__wrapped__() == expected
    other = {"mkl": "onednn", "onednn": "mkl"}[expected]
    monkeypatch.setattr(matmul, "fastest", matmul.fastest.__wrapped__)
    cpu = torch.device("cpu")
    with matmul.library(other) as taken:
        assert taken == other
        assert (matmul.product(cpu, torch.float32) is matmul.plain) == (other == "mkl")
        with matmul.library(None) as inner:
            assert inner == expected
    assert (matmul.product(cpu, torch.float32) is matmul.plain) == (expected == "mkl")
