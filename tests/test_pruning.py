"""Pruning removes the weights that it says, and its accuracies are those known by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from cobaye import kinds
from cobaye.analyses import pruning as analysis
from cobaye.data.splits import Split
from cobaye.inside import pruned_networks
from cobaye.models import scoring


def by_hand():
    """Four images of one pixel, labels 0 and 1, told apart by the largest weights of three.

    Hidden unit 0 tells them apart; what units 1 and 2 add is too little to matter.
    """
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[5.0, 0.3], [0.2, -0.1], [0.4, 0.6]]))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[-4.0, 0.01, 0.02], [4.0, 0.03, -0.04]]))
        network[2].bias.copy_(torch.tensor([0.0, 1e-3]))
    inputs = torch.tensor([[-1.0, 0.3], [-2.0, 0.1], [1.0, 0.2], [2.0, -0.3]])
    labels = torch.tensor([0, 0, 1, 1])
    return network.eval(), Split(inputs, labels, 2, {})


def curves(network, split, fractions, repeats=3, seed=0):
    kernels = [network[0].weight, network[2].weight]
    with torch.inference_mode():
        return pruned_networks.curves(
            kernels, lambda: scoring.means(network, split, "cpu"), fractions, repeats, seed
        )


def of(table, how):
    return table[table["how"] == how]


def test_magnitude_on_a_network_made_by_hand():
    """Of 12 weights, the three largest do all the work: all is well until one of them goes."""
    table = of(curves(*by_hand(), [0, 0.5, 9 / 12, 10 / 12, 11 / 12, 1]), "magnitude")
    assert table["repeat"].eq(0).all()
    # Ten gone: one of the two ±4 of the head is left, and with 11 none: the bias says 1 always.
    assert table["accuracy"].tolist() == [1, 1, 1, 1, 0.5, 0.5]


def test_nothing_pruned_is_the_plain_evaluation():
    network, split = by_hand()
    with torch.inference_mode():
        loss, accuracy = scoring.means(network, split, "cpu")
    whole = curves(network, split, [0, 0.5]).query("fraction == 0")
    assert len(whole) == 4
    assert whole["loss"].eq(loss).all()
    assert whole["accuracy"].eq(accuracy).all()


def test_without_any_weight_the_network_is_constant():
    network, split = by_hand()
    table = curves(network, split, [1.0])
    # Its logits are the head's biases, 0 and 1e-3.
    logits = torch.tensor([[0.0, 1e-3]]).expand(4, 2)
    loss = nn.functional.cross_entropy(logits, split.labels).item()
    assert table["loss"].to_numpy() == pytest.approx(loss, abs=1e-6)
    assert table["accuracy"].eq(0.5).all()


def removed(fraction, **asked):
    """Return which weights each way removes, as it goes: (how, repeat) → a mask."""
    network, split = by_hand()
    kernels = [network[0].weight, network[2].weight]
    before = torch.cat([kernel.detach().flatten() for kernel in kernels]).clone()
    masks = []

    def evaluate():
        flat = torch.cat([kernel.detach().flatten() for kernel in kernels])
        masks.append(flat == 0)
        assert flat[~masks[-1]].equal(before[~masks[-1]])
        return scoring.means(network, split, "cpu")

    with torch.inference_mode():
        pruned_networks.curves(kernels, evaluate, [fraction], **asked)
    return masks[1:]


def test_a_larger_fraction_removes_the_same_and_more():
    steps = [removed(count / 12, repeats=3, seed=0) for count in range(1, 13)]
    for count, masks in enumerate(steps, start=1):
        assert [int(mask.sum()) for mask in masks] == [count] * 4
    for fewer, more in itertools.pairwise(steps):
        assert all((a <= b).all() for a, b in zip(fewer, more, strict=True))


def test_draws_are_those_of_their_seed_and_differ_from_repeat_to_repeat():
    first, again, other = (removed(0.5, repeats=3, seed=seed) for seed in (0, 0, 1))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert not first[0].equal(first[1])
    assert not first[0].equal(other[0])
    assert first[-1].equal(other[-1])


@pytest.mark.parametrize("repeats", [1, 4])
def test_more_repeats_leave_the_first_as_they_were(repeats):
    assert removed(0.5, repeats=repeats, seed=0)[0].equal(removed(0.5, repeats=2, seed=0)[0])


def test_equal_weights_are_counted_exactly():
    kernel = nn.Parameter(torch.ones(10, 10))
    flat = kernel.detach().flatten()
    *_, (how, _, order) = pruned_networks.orders(flat, 1, 0)
    assert how == "magnitude"
    with pruned_networks.pruned([kernel]) as (_, prune):
        prune(order, 37)
        assert kernel.detach().flatten().nonzero().flatten().tolist() == list(range(37, 100))


@pytest.mark.parametrize("fails", [False, True])
def test_the_weights_are_restored(fails):
    network, _ = by_hand()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    asked = 0

    def evaluate():
        nonlocal asked
        asked += 1
        if fails and asked == 4:
            raise RuntimeError("out of memory")
        return 0.0, 0.0

    kernels = [network[0].weight, network[2].weight]
    if fails:
        with pytest.raises(RuntimeError):
            pruned_networks.curves(kernels, evaluate, [0.5, 1], 3, 0)
    else:
        pruned_networks.curves(kernels, evaluate, [0.5, 1], 3, 0)
    after = network.state_dict()
    assert all(tensor.equal(after[name]) for name, tensor in before.items())


def test_images_are_drawn_once_for_all_runs():
    split = Split(torch.arange(40).view(20, 2), torch.arange(20), 20, {})
    some, again, other = (analysis.drawn(split, 7, seed) for seed in (0, 0, 1))
    assert some.inputs.equal(again.inputs)
    assert not some.inputs.equal(other.inputs)
    assert some.labels.equal(some.labels.unique())
    assert len(some.labels) == 7
    assert some.inputs[:, 0].equal(2 * some.labels)
    for all_of_it in (0, 20, 99):
        assert analysis.drawn(split, all_of_it, 0) is split


def test_passes_are_those_of_the_defaults():
    """What a job asks for is reckoned from them."""
    options = kinds.options("analyses", "pruning")()
    assert (len(options.fractions) - 1) * (options.repeats + 1) + 1 == analysis.PASSES


@pytest.mark.parametrize(
    "wrong",
    [
        {"fractions": ()},
        {"fractions": (0.1, 1.5)},
        {"fractions": (0.1, 0.1)},
        {"repeats": 0},
        {"images": -1},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        analysis.Options(**wrong)
