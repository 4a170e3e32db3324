"""Networks: shapes, sizes, and the last layer by its name."""

from __future__ import annotations

import pytest
import torch

from cobaye import kinds, recipes
from cobaye.errors import ConfigError
from cobaye.models import networks
from cobaye.models.networks import (
    _layers,
    convnet,
    linear,
    mlp,
    perceptron,
    resnet18,
    resnet_small,
    vgg16,
)


def features(network, inputs):
    """Return what the head receives."""
    received = []
    hook = network.head.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    with torch.no_grad():
        network(inputs)
    hook.remove()
    return received[0]


NETWORKS = {
    "linear": lambda: linear.build(linear.Options(), (1, 8, 8), 10),
    "resnet-small": lambda: resnet_small.build(resnet_small.Options(), (1, 8, 8), 10),
    "resnet-small, 3 channels": lambda: resnet_small.build(
        resnet_small.Options(stem=16, widths=(16, 32), blocks=2, features=24), (3, 20, 28), 7
    ),
    "perceptron": lambda: perceptron.build(perceptron.Options(), (1, 8, 8), 10),
    "mlp": lambda: mlp.build(mlp.Options(widths=(12, 9), dropout=0.5), (1, 8, 8), 10),
    "mlp, batch norm": lambda: mlp.build(
        mlp.Options(widths=(12,), activation="tanh", batch_norm=True), (1, 8, 8), 10
    ),
    "convnet": lambda: convnet.build(
        convnet.Options(dropout=0.5, batch_norm=True), SHAPES["convnet"], 10
    ),
    "vgg16": lambda: vgg16.build(vgg16.Options(width=0.1), (1, 33, 64), 10),
    "resnet18": lambda: resnet18.build(resnet18.Options(), (1, 8, 8), 10),
    "resnet18, small": lambda: resnet18.build(
        resnet18.Options(stem="small", resize=12, channels=3), (1, 8, 8), 10
    ),
}
SHAPES = {"resnet-small, 3 channels": (3, 20, 28), "convnet": (3, 33, 40), "vgg16": (1, 33, 64)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_is_the_last_layer(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    inputs = torch.randn(5, *SHAPES.get(name, (1, 8, 8)))
    with torch.no_grad():
        logits = network(inputs)
    assert isinstance(network.head, torch.nn.Linear)
    assert [m for m in network.modules() if isinstance(m, torch.nn.Linear)][-1] is network.head
    assert logits.shape == (5, network.head.out_features)
    assert logits.dtype == torch.float32
    with torch.no_grad():
        outputs = network.head(features(network, inputs))
        assert torch.equal(network.norm(outputs) if hasattr(network, "norm") else outputs, logits)


def test_linear_is_an_affine_map():
    torch.manual_seed(0)
    network = linear.build(linear.Options(), (2, 3, 4), 5)
    inputs = torch.randn(6, 2, 3, 4)
    expected = inputs.flatten(1) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(inputs), expected)
    assert sum(p.numel() for p in network.parameters()) == 24 * 5 + 5


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


def test_resnet_small_trains_on_a_batch_of_one():
    """The last batch of an epoch may hold one image; batch norm has its pixels still."""
    network = resnet_small.build(resnet_small.Options(), (1, 32, 32), 4)
    loss = torch.nn.functional.cross_entropy(network(torch.randn(1, 1, 32, 32)), torch.tensor([2]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_resnet_small_learns():
    torch.manual_seed(0)
    inputs, labels = torch.randn(32, 1, 16, 16), torch.arange(32) % 4
    network = resnet_small.build(resnet_small.Options(stem=16, widths=(16,)), (1, 16, 16), 4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_building_a_network_leaves_the_random_state_as_it_was():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    networks.build(recipes.Kind("linear", {}), (1, 2, 2), 3, seed=5)
    assert torch.equal(torch.rand(3), expected)


PLAIN = {
    "linear": {},
    "perceptron": {},
    "mlp": {"widths": (5,), "batch_norm": True},
    "convnet": {"batch_norm": True},
    "resnet18": {},
    "resnet-small": {},
    "torchvision": {"model": "resnet18"},
    "vgg16": {"width": 0.1},
}


@pytest.mark.parametrize("kind", kinds.names("networks"))
def test_parts_are_modules_and_together_all_of_the_network(kind):
    """Config is checked against them without building a network."""
    module = kinds.load("networks", kind)
    network = module.build(module.Options(**PLAIN[kind]), (3, 32, 32), 4)
    parts = kinds.constant("networks", kind, "PARTS", ())
    assert bool(parts) == (kind not in ("linear", "perceptron"))
    inner = set(parts) - {"body", "head"}
    for part in inner:
        assert list(getattr(network.body, part).parameters())
    learning = {name for name, child in network.named_children() if list(child.parameters())}
    assert learning == {*parts, "head"} - inner


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


def test_initialization_reaches_convolutions_by_their_fan_in():
    torch.manual_seed(0)
    network = convnet.build(convnet.Options(initialization="he"), (3, 32, 32), 10)
    limit = (6 / (32 * 25)) ** 0.5
    assert network.body.conv2.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)


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


def test_convnet_says_which_images_are_too_small():
    with pytest.raises(ConfigError, match=r"28×28.*set its resize"):
        convnet.build(convnet.Options(), (1, 28, 28), 10)
    network = convnet.build(convnet.Options(resize=32), (1, 28, 28), 10)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_vgg16_normalises_before_every_relu_and_the_softmax():
    network = vgg16.build(vgg16.Options(width=0.25), (3, 32, 32), 4).train()
    assert [len(list(m.parameters())) for m in network.modules() if "Norm" in type(m).__name__] == [
        *(0 for _ in range(15))
    ]
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
    ("width", "found"), [(0.25, [16, 32, 64, 128]), (0.001, [1] * 4), (0.11, [7, 14, 28, 56])]
)
def test_vgg16_is_as_wide_as_it_is_told(width, found):
    network = vgg16.build(vgg16.Options(width=width), (1, 32, 32), 10)
    sizes = [len(network.body.get_submodule(f"conv{n}").weight) for n in range(1, 14)]
    assert sizes == [
        each for each, times in zip(found, (2, 2, 3, 6), strict=True) for _ in range(times)
    ]
    assert network.head.in_features == len(network.body.dense.weight) == found[-1]
    assert network.head.out_features == 10


def test_vgg16_says_which_images_are_too_small():
    with pytest.raises(ConfigError, match=r"28×28.*32×32 and more: set its resize"):
        vgg16.build(vgg16.Options(width=0.1), (1, 28, 28), 10)
    small = vgg16.build(vgg16.Options(width=0.1, resize=32), (1, 28, 28), 10)
    assert small(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_resizing_interpolates():
    ramp = torch.arange(4.0).repeat(1, 1, 4, 1)
    wide = _layers.resized(ramp, 8)[0, 0, 0]
    torch.testing.assert_close(
        wide, torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]), rtol=0, atol=1e-6
    )
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


def test_resnet18_refuses_channels_that_the_images_do_not_have():
    with pytest.raises(ConfigError, match="channels: 1, but the images have 3"):
        resnet18.build(resnet18.Options(channels=1), (3, 8, 8), 10)


@pytest.mark.parametrize("name", ["mlp, batch norm", "resnet18", "convnet", "vgg16"])
def test_a_batch_of_one_is_trained_on(name):
    """The last batch of an epoch may be one; torch's own batch norm refuses it."""
    network = NETWORKS[name]().train()
    before = {name: t.clone() for name, t in network.named_buffers()}
    logits = network(torch.randn(1, *SHAPES.get(name, (1, 8, 8))))
    torch.nn.functional.cross_entropy(logits, torch.tensor([2])).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    if name.startswith("mlp"):
        assert all(torch.equal(t, before[name]) for name, t in network.named_buffers())


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
