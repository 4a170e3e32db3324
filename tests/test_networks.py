"""Networks: shapes, sizes, and the last layer by its name."""

from __future__ import annotations

import pytest
import torch

from cobaye import networks, recipes
from cobaye.networks import linear, resnet_small


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
}
SHAPES = {"resnet-small, 3 channels": (3, 20, 28)}


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
    assert torch.equal(network.head(features(network, inputs)), logits)


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
