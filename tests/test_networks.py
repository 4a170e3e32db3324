"""Networks are those of their equations and reports, and train on what their loss says."""

from __future__ import annotations

import platform
import resource

import numpy as np
import pytest
import torch

from cobaye import kinds
from cobaye.errors import ConfigError
from cobaye.models import networks
from cobaye.models.networks import (
    _layers,
    convnet,
    mlp,
    resnet18,
    resnet_small,
    vgg16,
)
from tests.examples import example


def features(network, batch):
    """Return what the head receives."""
    received = []
    hook = network.head.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    with torch.no_grad():
        network(batch)
    hook.remove()
    return received[0]


IMAGE, CLASSES = (3, 32, 32), 4
# Beside the example of each kind, options of shipped ones that change what they are made of.
VARIANTS = [
    ("resnet-small", {"stem": 16, "widths": (16, 32, 16, 16), "blocks": 2, "features": 24}),
    ("mlp", {"widths": (12, 9), "dropout": 0.5}),
    ("mlp", {"widths": (12,), "activation": "tanh", "batch_norm": True}),
    ("convnet", {"dropout": 0.5, "batch_norm": True}),
    ("vgg16", {"width": 0.1, "resize": 40}),
    ("resnet18", {"stem": "small", "resize": 12, "channels": 3}),
]
CASES = [
    (kind, given, shape)
    for kind, given in [*((kind, {}) for kind in kinds.names("networks")), *VARIANTS]
    for shape in [IMAGE, *([] if kinds.constant("networks", kind, "INPUT") == "images" else [(7,)])]
]
everyone = pytest.mark.parametrize(("kind", "given", "shape"), CASES, ids=str)


def built(kind, given, shape=IMAGE, seed=0):
    """Return a network in float64, its running means as after some training."""
    network = networks.build(example("networks", kind, **given), shape, CLASSES, seed).double()
    with torch.no_grad():
        network.train()(inputs(40, shape))
    return network


def inputs(count, shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def loss(network, batch):
    torch.manual_seed(2)  # of dropout
    labels = torch.arange(len(batch)) % CLASSES
    return torch.nn.functional.cross_entropy(network(batch), labels)


@everyone
def test_logits_are_those_of_a_last_linear_layer_called_head(kind, given, shape):
    network, batch = built(kind, given, shape).eval(), inputs(5, shape)
    with torch.no_grad():
        logits = network(batch)
        outputs = network.head(features(network, batch))
    assert [m for m in network.modules() if isinstance(m, torch.nn.Linear)][-1] is network.head
    assert logits.shape == (5, CLASSES)
    assert torch.equal(network.norm(outputs) if hasattr(network, "norm") else outputs, logits)
    assert network.float()(batch.float()).dtype == torch.float32


@everyone
def test_an_image_is_evaluated_whatever_its_batch(kind, given, shape):
    network, batch = built(kind, given, shape).eval(), inputs(5, shape)
    with torch.no_grad():
        alone = torch.cat([network(each) for each in batch.split(1)])
        torch.testing.assert_close(network(batch), alone)
        assert not torch.allclose(alone[0], alone[1])


@everyone
def test_gradients_are_those_of_the_loss(kind, given, shape):
    """A step of length s along the gradient g, in training, changes the loss by s ‖g‖."""
    network, batch, step = built(kind, given, shape), inputs(6, shape), 1e-6
    before = loss(network, batch)
    before.backward()
    slopes = {name: p.grad for name, p in network.named_parameters()}
    assert all(slope.isfinite().all() for slope in slopes.values())
    assert [name for name, slope in slopes.items() if slope.ndim > 1 and not slope.any()] == []
    norm = torch.stack([slope.norm() for slope in slopes.values()]).norm()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= step / norm * parameter.grad
        change = (before - loss(network, batch)) / step
    torch.testing.assert_close(change, norm, rtol=0.01, atol=0)


@everyone
def test_a_batch_of_one_is_trained_on(kind, given, shape):
    """The last batch of an epoch may be one; torch's own batch norm refuses one of one pixel."""
    network = built(kind, given, shape)
    loss(network, inputs(1, shape)).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@everyone
def test_initial_weights_are_a_function_of_the_seed(kind, given, shape):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (
        networks.build(example("networks", kind, **given), shape, CLASSES, seed).state_dict()
        for seed in (5, 5, 6)
    )
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    kernels = [name for name, tensor in first.items() if tensor.ndim > 1]
    assert not any(torch.equal(first[name], other[name]) for name in kernels)


@everyone
def test_what_is_trained_in_closed_form_is_its_head_alone(kind, given, shape):
    if kinds.constant("networks", kind, "ENGINE") == "linear":
        network, batch = built(kind, given, shape), inputs(6, shape)
        expected = batch.flatten(1) @ network.head.weight.T + network.head.bias
        torch.testing.assert_close(network(batch), expected)
        assert {name for name, _ in network.named_parameters()} == {"head.weight", "head.bias"}


@pytest.mark.parametrize("kind", kinds.names("networks"))
def test_parts_are_modules_and_together_all_of_the_network(kind):
    """Config is checked against them without building a network."""
    network, parts = built(kind, {}), kinds.constant("networks", kind, "PARTS", ())
    inner = set(parts) - {"body", "head"}
    for part in inner:
        assert list(getattr(network.body, part).parameters())
    learning = {name for name, child in network.named_children() if list(child.parameters())}
    assert not parts or learning == set(parts) - inner


@pytest.mark.skipif(platform.libc_ver() < ("glibc", "2.36"), reason="other allocators keep less")
def test_freed_memory_is_kept_for_the_next_batch():
    """64 MiB of new pages would be 16,384 faults, or 32 of huge ones."""
    networks.build(example("networks", "perceptron"), (1, 4, 4), 3)
    faults = []
    for _ in range(5):  # the heap of a process of tests has other places for the first ones
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults) < 20


def test_resnet_small_size():
    network = resnet_small.build(resnet_small.Options(), (1, 32, 32), 200)
    assert sum(p.numel() for p in network.parameters()) <= 1_000_000
    network.eval()
    found = features(network, torch.randn(2, 1, 32, 32))
    assert found.shape == (2, 256)
    assert (found >= 0).all()


def test_resnet_small_halves_the_image_once_per_stage():
    network = resnet_small.build(resnet_small.Options(widths=(16, 16, 16)), (1, 32, 32), 3)
    sizes = []
    for module in network.modules():
        if isinstance(module, resnet_small.ResidualBlock):
            module.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[2:])))
    network(torch.randn(2, 1, 32, 32))
    assert sizes == [(8, 8), (4, 4), (2, 2)]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_mlp_is_its_equations(activation):
    torch.manual_seed(0)
    network = mlp.build(mlp.Options(widths=(6, 5), activation=activation), (2, 3), 4)
    weights = network.state_dict()
    x = inputs = torch.randn(7, 2, 3)
    x = x.flatten(1)
    for layer in ("body.linear1", "body.linear2"):
        x = getattr(torch, activation)(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"])
    expected = x @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(network(inputs), expected)


@pytest.mark.parametrize(
    ("how", "limits"),
    [
        ("he", (6 / 300) ** 0.5),
        ("glorot", (6 / 500) ** 0.5),
        ("uniform", 0.05),
        ("default", 300**-0.5),
    ],
)
def test_initializations_have_their_limits(how, limits):
    torch.manual_seed(0)
    network = mlp.build(mlp.Options(widths=(200,), initialization=how), (300,), 4)
    weight, bias = network.body.linear1.weight, network.body.linear1.bias
    assert 0.999 * limits < weight.abs().max() <= limits * (1 + 1e-6)
    assert weight.std().item() == pytest.approx(limits / 3**0.5, rel=0.01)
    assert bias.any() == (how == "default")


def test_convnet_halves_as_the_report_says():
    network = convnet.build(convnet.Options(dropout=0.5), (3, 32, 32), 10)
    sizes = {}
    for name, module in network.body.named_children():
        module.register_forward_hook(
            lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    network(torch.zeros(2, 3, 32, 32))
    assert sizes["conv1"] == (32, 32, 32)
    assert [sizes[f"pool{i}"] for i in (1, 2, 3)] == [(32, 16, 16), (64, 6, 6), (64, 1, 1)]
    assert list(sizes)[-3:] == ["fc", "relu4", "dropout"]


def test_vgg16_normalises_before_every_relu_and_the_softmax():
    network = vgg16.build(vgg16.Options(width=0.25), (3, 32, 32), 4).train()
    norms = [m for m in network.modules() if "Norm" in type(m).__name__]
    assert [len(list(norm.parameters())) for norm in norms] == [0] * 15
    given = {}
    for name, module in network.body.named_children():
        if name.startswith("relu"):
            module.register_forward_hook(
                lambda _, inputs, __, name=name: given.update({name: inputs[0]})
            )
    logits = network(torch.randn(40, 3, 32, 32))
    assert len(given) == 14
    for values in (*given.values(), logits):
        dims = [0, *range(2, values.dim())]
        torch.testing.assert_close(
            values.mean(dims), torch.zeros(values.shape[1]), atol=1e-4, rtol=0
        )
        variance = values.var(dims, unbiased=False)
        # Less ε, 1e-5, beside the variance that was there.
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=0.1, rtol=0)


def test_vgg16_begins_as_glorot_says():
    network = vgg16.build(vgg16.Options(), (3, 32, 32), 10)
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))
    for layer, fans in [("conv1", 9 * (3 + 64)), ("conv10", 9 * 1024), ("dense", 1024)]:
        largest = network.body.get_submodule(layer).weight.abs().max().item()
        assert largest == pytest.approx((6 / fans) ** 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("width", "found"), [(0.25, [16, 32, 64, 128]), (0.001, [1] * 4), (0.12, [8, 15, 31, 61])]
)
def test_vgg16_is_as_wide_as_it_is_told(width, found):
    network = vgg16.build(vgg16.Options(width=width), (1, 32, 32), 10)
    sizes = [len(network.body.get_submodule(f"conv{n}").weight) for n in range(1, 14)]
    assert sizes == np.repeat(found, (2, 2, 3, 6)).tolist()
    assert network.head.in_features == len(network.body.dense.weight) == found[-1]
    assert network.head.out_features == 10


@pytest.mark.parametrize("network", [convnet, vgg16])
def test_images_that_are_too_small_are_refused(network):
    with pytest.raises(ConfigError, match=r"28×28.*32×32 and more: set its resize"):
        network.build(network.Options(), (1, 28, 28), 10)
    larger = network.build(network.Options(resize=32), (1, 28, 28), 10)
    assert larger(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_resizing_interpolates():
    ramp = torch.arange(4.0).repeat(1, 1, 4, 1)
    wide = _layers.resized(ramp, 8)[0, 0, 0]
    torch.testing.assert_close(
        wide, torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]), rtol=0, atol=1e-6
    )
    # Shrunk by two: over triangles four pixels wide, (3·0 + 3·1 + 1·2) / 7 on the left.
    narrow = _layers.resized(ramp, 2)[0, 0, 0]
    torch.testing.assert_close(narrow, torch.tensor([5 / 7, 16 / 7]), rtol=0, atol=1e-6)
    assert _layers.resized(ramp, None) is ramp


def test_resnet18_is_torchvisions():
    """The same weights in torchvision's own network give the same logits, resizing included."""
    from torchvision import models

    torch.manual_seed(0)
    own = resnet18.build(resnet18.Options(resize=40, channels=3), (1, 20, 20), 6).eval()
    theirs = models.resnet18(num_classes=6).eval()
    state = {name.removeprefix("body."): t for name, t in own.state_dict().items()}
    theirs.load_state_dict({name.replace("head.", "fc."): t for name, t in state.items()})
    images = torch.randn(3, 1, 20, 20)
    wide = torch.nn.functional.interpolate(images, (40, 40), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(own(images), theirs(wide.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(("channels", "images"), [(1, 3), (3, 2)])
def test_resnet18_refuses_channels_that_the_images_do_not_have(channels, images):
    with pytest.raises(ConfigError, match=f"channels: {channels}, but the images have {images}"):
        resnet18.build(resnet18.Options(channels=channels), (images, 8, 8), 10)


def test_batch_norm_is_torchs_elsewhere():
    inputs = torch.randn(5, 4, 2, 2)
    own, theirs = _layers.BatchNorm2d(4), torch.nn.BatchNorm2d(4)
    torch.testing.assert_close(own(inputs), theirs(inputs), rtol=0, atol=0)
    torch.testing.assert_close(own.running_var, theirs.running_var, rtol=0, atol=0)
    own.eval()
    assert torch.equal(own(inputs[:1]), theirs.eval()(inputs[:1]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lambda: mlp.Options(widths=()), "widths"),
        (lambda: mlp.Options(dropout=1.0), "dropout"),
        (lambda: convnet.Options(dropout=-0.1), "dropout"),
        (lambda: convnet.Options(resize=31), "resize"),
        (lambda: resnet18.Options(resize=0), "resize"),
        (lambda: vgg16.Options(resize=31), "resize"),
        (lambda: vgg16.Options(width=0.0), "width"),
    ],
)
def test_limits_of_options(options, said):
    with pytest.raises(ValueError, match=said):
        options()
