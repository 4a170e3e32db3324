"""Activations are those of the whole network, layer by layer; what has no layers is refused."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from cobaye import recipes
from cobaye.errors import ConfigError
from cobaye.inside.neurons import capture
from cobaye.models import networks

N = capture.BATCH + 3
MEMORY = 1e9


class Deep(nn.Module):
    """As vgg16 is made: normalised before each ReLU and after the head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6, affine=False), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(6, 5, (3, 2), stride=(2, 1), padding=(2, 1)), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(5 * 4 * 6, 8), nn.BatchNorm1d(8, affine=False), nn.ReLU()),
        )
        self.head, self.norm = nn.Linear(8, 4), nn.BatchNorm1d(4, affine=False)

    def forward(self, images):
        return self.norm(self.head(self.body(images)))


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (N, 3, 12, 10), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture(scope="module")
def deep(images):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Deep()
        # Statistics of some training.
        with torch.no_grad():
            network.train()(prepare(images))
    return network.eval()


def prepare(rows):
    return rows.float() / 255 - 0.5


def walked(network, images, **options):
    found = []
    capture.walk(network, images, prepare, found.append, MEMORY, **options)
    return found


def test_activations_are_those_of_the_whole_network(deep, images):
    seen = {}
    shown = {"body.0": "body.2", "body.4": "body.5", "body.7": "body.9", "head": "norm"}
    hooks = [
        deep.get_submodule(last).register_forward_hook(
            lambda module, given, output, name=name: seen.update({name: output.flatten(1)})
        )
        for name, last in shown.items()
    ]
    with torch.no_grad():
        logits = deep(prepare(images))
    for hook in hooks:
        hook.remove()
    layers = walked(deep, images)
    assert [layer.name for layer in layers] == list(shown)
    assert [layer.number for layer in layers] == [1, 2, 3, 4]
    for layer in layers[:-1]:
        torch.testing.assert_close(layer.activations, seen[layer.name])
        assert layer.decisive is layer.activations or layer.decisive.equal(layer.activations)
    torch.testing.assert_close(layers[-1].activations, logits.softmax(1))
    torch.testing.assert_close(layers[-1].decisive, logits)


def test_a_neuron_is_its_weights_times_its_vectors(deep, images):
    """Before bias and normalisation, at every position, padding included."""
    for layer in walked(deep, images[:5]):
        with torch.inference_mode():
            expected = layer.kernel(layer.inputs).flatten(1)
        bias = layer.kernel.bias.repeat_interleave(expected.shape[1] // len(layer.kernel.bias))
        for neuron in range(expected.shape[1]):
            vectors = layer.vectors(neuron, 4)
            found = vectors @ layer.weights(neuron) + bias[neuron]
            torch.testing.assert_close(found, expected[:4, neuron], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        ("convnet", {"resize": 32, "batch_norm": True}, ["conv1", "conv2", "conv3", "fc"]),
        ("convnet", {"resize": 32, "dropout": 0.5}, ["conv1", "conv2", "conv3", "fc"]),
        (
            "mlp",
            {"widths": (7, 5), "activation": "tanh", "batch_norm": True},
            ["linear1", "linear2"],
        ),
        ("linear", {}, []),
        ("perceptron", {}, []),
    ],
)
def test_networks_that_are_sequences(kind, options, names, images):
    network = networks.build(recipes.Kind(kind, options), (3, 12, 10), 4).eval()
    with torch.no_grad():
        expected = network(prepare(images)).softmax(1)
    layers = walked(network, images)
    assert [layer.name for layer in layers] == [*(f"body.{name}" for name in names), "head"]
    torch.testing.assert_close(layers[-1].activations, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["resnet-small", "resnet18"])
def test_residual_networks_are_refused(kind, images):
    network = networks.build(recipes.Kind(kind, {}), (3, 32, 32), 4).eval()
    with pytest.raises(ConfigError, match=r"vgg16, convnet, mlp.* ResNet\w* is no such sequence"):
        walked(network, torch.zeros(2, 3, 32, 32).byte())


class Scaled(Deep):
    def forward(self, images):
        return 2 * super().forward(images)


def test_a_forward_pass_that_does_more_is_refused(images):
    with pytest.raises(ConfigError, match="do not give its outputs"):
        walked(Scaled().eval(), images)


@pytest.mark.parametrize("odd", [{"groups": 3}, {"dilation": 2}, {"padding": "same"}])
def test_odd_convolutions_are_refused(odd, images):
    network = nn.Sequential()
    network.body = nn.Sequential(nn.Conv2d(3, 3, 3, **odd), nn.Flatten())
    with pytest.raises(ConfigError, match=r"body\.0 is a convolution of another kind"):
        walked(network, images)


def test_memory_is_refused_before_anything_is_computed(deep, images):
    """The first layer: 3 × 12 × 10 numbers become 6 × 12 × 10, of 4 bytes."""
    needed = N * 9 * 12 * 10 * 4
    capture.walk(deep, images, prepare, lambda layer: None, needed)
    with pytest.raises(ConfigError, match=r"body\.0 .* for 131 images, and memory"):
        capture.walk(deep, images, prepare, lambda layer: pytest.fail("computed"), needed - 1)


def test_a_layer_is_let_go_before_the_one_after_it_is_handed_over(deep, images):
    held = []

    def consume(layer):
        assert [each() for each in held] == [None] * len(held)
        held.extend(map(weakref.ref, (layer, layer.inputs)))

    capture.walk(deep, images, prepare, consume, MEMORY)
    assert len(held) == 2 * 4
