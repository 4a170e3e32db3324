"""The tables of `activations` hold what is known of networks whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import nn

from cobaye import kinds, recipes
from cobaye.analyses import _layer_numbers, activations
from cobaye.data.splits import Split
from cobaye.errors import ConfigError
from cobaye.inside.neurons import bits, capture, neighbours
from cobaye.models import networks
from tests.examples import example

IMAGES = 300
SMALL = {"images": 200, "histogram_images": 250, "sizes_images": 250, "pairs": 60, "neurons": 30}
SMALL |= {"clustered": 6, "trials": 4, "centres": 0.3, "neighbours": 0.3}
SMALL |= {"around_centres": 0.15, "around": 0.1}
CONTRACT = {
    "activations": "state layer name neurons images zeros off on pairs_off pairs_on pairs_mixed "
    "pair_information pair_information_below_one label_information silhouette_euclidean "
    "silhouette_euclidean_neurons silhouette_cosine silhouette_cosine_neurons "
    "active_around_euclidean active_around_cosine",
    "activation-histograms": "state layer name lower upper count",
    "pair-histograms": "state layer name lower upper count",
    "silhouette-sizes": "state layer name distance share silhouette deviation neurons",
    "layer-similarity": "state layer other svcca svcca_null pair_information",
}


class Small(nn.Module):
    def __init__(self, hidden=12, classes=3):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5, affine=False), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(5 * 2 * 2, hidden), nn.ReLU()),
        )
        self.head = nn.Linear(hidden, classes)

    def forward(self, images):
        return self.head(self.body(images))


def network(seed=0, **sizes):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = Small(**sizes).eval()
        with torch.no_grad():
            # Each output is above zero for some images.
            found.head.bias -= found(torch.rand(100, 1, 8, 8)).mean(dim=0)
        return found


def dead():
    found = network()
    for parameter in found.parameters():
        nn.init.zeros_(parameter)
    return found


@pytest.fixture(scope="module")
def split():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 1, 8, 8), generator=generator).byte()
    return Split(images, torch.randint(3, (IMAGES,), generator=generator), 3, {})


def inspect(network, split, **options):
    run = SimpleNamespace(split=split, forward=lambda: (network, lambda rows: rows.float() / 255))
    return activations.inspect(run, activations.Options(**{**SMALL, **options}))


@pytest.fixture(scope="module")
def found(split):
    return inspect(network(), split)


def test_tables_have_the_columns_that_figures_read(found):
    assert list(kinds.constant("analyses", "activations", "TABLES")) == list(CONTRACT)
    assert set(found) == set(CONTRACT)
    for name, columns in CONTRACT.items():
        # `state` is added where the tables of all runs are joined.
        assert set(columns.split()[1:]) <= set(found[name].columns), name
    assert list(found["activations"]["name"]) == ["body.0", "body.3", "body.7", "head"]
    assert list(found["activations"]["neurons"]) == [4 * 64, 5 * 4, 12, 3]
    assert found["activations"]["images"].eq(200).all()


@pytest.mark.parametrize("kind", kinds.constant("analyses", "activations", "NETWORKS"))
def test_networks_that_are_named_can_be_looked_into(kind):
    """Else a study is refused before anything is computed."""
    assert capture.layers(networks.build(example("networks", kind), (3, 32, 32), 3))


def test_every_neuron_and_pair_is_counted_once(found):
    neurons = found["activation-histograms"].groupby("layer")["count"].sum()
    assert list(neurons) == [256, 20, 12, 3]
    # Where a layer has fewer pairs than asked for, all of them.
    assert list(found["pair-histograms"].groupby("layer")["count"].sum()) == [60, 60, 60, 3]


def test_numbers_are_those_of_the_activations_themselves(found, split):
    """Of the last layer, whose neurons and pairs are all taken."""
    sample, labels = activations._sample(SimpleNamespace(split=split), 200, 0)
    with torch.no_grad():
        logits = network()(sample.float() / 255)
    shown = logits.softmax(1).numpy()
    bits = shown > shown.mean(0, dtype=np.float64)
    row = found["activations"].iloc[-1]
    assert row["zeros"] == pytest.approx(1 - bits.mean())
    assert row["label_information"] == pytest.approx(
        np.mean([normalized_mutual_info_score(labels, column) for column in bits.T])
    )
    expected = [normalized_mutual_info_score(bits[:, i], bits[:, j]) for i, j in ((0, 1), (0, 2))]
    expected.append(normalized_mutual_info_score(bits[:, 1], bits[:, 2]))
    assert row["pair_information"] == pytest.approx(np.mean(expected))
    assert row["always_active"] == (logits > 0).all(0).double().mean()


def test_clusters_are_those_of_the_inputs_of_each_neuron(found, split):
    """Of the last layer, whose neurons are all taken."""
    sample, _ = activations._sample(SimpleNamespace(split=split), 200, 0)
    own = network()
    with torch.no_grad():
        inputs = own.body(sample.float() / 255)
        active = own.head(inputs) > 0
    row = found["activations"].iloc[-1]
    for metric in ("euclidean", "cosine"):
        silhouettes, shares = [], []
        for neuron, weights in enumerate(own.head.weight.detach()):
            on = active[:, neuron]
            around = neighbours.neighbourhoods(inputs, weights, on, metric, 0.3)
            if around is not None:
                size = torch.tensor([60])
                silhouettes.append(neighbours.silhouettes(around, 0.3, size).item())
                shares.append(neighbours.active_around(around, 0.15, 20))
        assert row[f"silhouette_{metric}"] == pytest.approx(np.nanmean(silhouettes))
        assert row[f"silhouette_{metric}_neurons"] == np.isfinite(silhouettes).sum() > 0
        assert row[f"active_around_{metric}"] == pytest.approx(np.mean(shares))


def test_histograms_are_of_means_over_their_own_number_of_images(found, split):
    sample, _ = activations._sample(SimpleNamespace(split=split), 250, 0)
    with torch.no_grad():
        means = network().body(sample.float() / 255).double().mean(dim=0).numpy()
    own = found["activation-histograms"]
    own = own[own["layer"] == 3].reset_index(drop=True)
    expected = _layer_numbers.mean_histogram(means)
    assert own[["lower", "upper", "count"]].equals(expected)


def test_pathological_neurons_and_pairs_of_them():
    """Neurons 0 and 1 never change, 2 does; 3 is always on, which no binarised neuron is."""
    activations = torch.tensor([[1.0, 1], [0, 0], [1, 2], [0, 0]]).T
    found = bits.binarise(activations)
    found = bits.Bits(found.words, np.array([0, 0, 1, 2]), 2)
    pairs = np.triu_indices(4, k=1)
    assert _layer_numbers.pathology(found, *pairs) == {
        "zeros": 1 - 3 / 8,
        "off": 0.5,
        "on": 0.25,
        "pairs_off": 1 / 6,
        "pairs_on": 0,
        "pairs_mixed": 2 / 6,
    }


def test_the_sample_is_of_training_images_and_their_labels(split):
    inputs, labels = activations._sample(SimpleNamespace(split=split), 200, 0)
    places = [(split.inputs == image).flatten(1).all(1).nonzero().item() for image in inputs]
    assert len(set(places)) == 200
    np.testing.assert_array_equal(split.labels[places], labels)
    other, _ = activations._sample(SimpleNamespace(split=split), 200, 1)
    assert not torch.equal(inputs, other)
    # A smaller sample is the first part of a larger one.
    assert torch.equal(activations._sample(SimpleNamespace(split=split), 30, 0)[0], inputs[:30])
    assert kinds.constant("analyses", "activations", "SPLIT") == "train"


def test_the_same_seed_gives_the_same_tables_and_another_does_not(found, split):
    again, other = inspect(network(), split), inspect(network(), split, seed=1)
    for name, table in found.items():
        assert table.equals(again[name]), name
    # Of the last layer, all neurons and pairs are taken: the images are others.
    assert (found["activations"].iloc[-1] != other["activations"].iloc[-1])["pair_information"]


def test_a_dead_network(split):
    found = inspect(dead(), split)
    table = found["activations"]
    for column in ("zeros", "off", "pairs_off", "pair_information"):
        assert table[column].eq(1).all(), column
    for column in ("on", "pairs_on", "pairs_mixed", "label_information", "always_active"):
        assert table[column].eq(0).all(), column
    assert table["pair_information_below_one"].isna().all()
    for metric in ("euclidean", "cosine"):
        assert table[f"silhouette_{metric}"].isna().all()
        assert table[f"silhouette_{metric}_neurons"].eq(0).all()
    assert found["silhouette-sizes"]["neurons"].eq(0).all()
    assert found["layer-similarity"]["svcca"].isna().all()
    assert found["layer-similarity"]["pair_information"].eq(1).all()


def test_a_layer_that_sees_the_labels_says_so(split):
    """Each hidden neuron is on where the first pixel is 255, which is so for class 2 alone."""
    images = split.inputs.clone()
    images[:, 0, 0, 0] = torch.where(split.labels == 2, 255, 0)
    telling = networks.build(recipes.Kind("mlp", {"widths": (4,)}), (1, 8, 8), 3).eval()
    nn.init.zeros_(telling.body.linear1.weight)
    nn.init.zeros_(telling.body.linear1.bias)
    telling.body.linear1.weight.data[:, 0] = 1
    found = inspect(telling, Split(images, split.labels, 3, {}))["activations"].iloc[0]
    _, labels = activations._sample(SimpleNamespace(split=split), 200, 0)
    expected = normalized_mutual_info_score(labels, labels == 2)
    assert found["label_information"] == pytest.approx(expected)
    assert found["pair_information"] == 1
    # All active inputs are one point, for which the others do not count, and so the inactive.
    assert found["active_around_euclidean"] == 1


def test_layers_compared_with_all_layers(found):
    table = found["layer-similarity"]
    assert len(table) == 4 * 4
    square = table.pivot_table(index="layer", columns="other", values="svcca").to_numpy()
    np.testing.assert_allclose(np.diag(square), 1)
    np.testing.assert_array_equal(square, square.T)
    assert (table["svcca_null"] < 0.6).all()
    # No more than neurons, nor than a tenth of the images.
    assert table[table["layer"] == 1]["directions"].le(20).all()
    assert table[table["layer"] == 4]["directions"].le(3).all()
    assert table[table["layer"] == 1]["directions"].gt(3).all()
    own = table[table["layer"] == table["other"]]["pair_information"].to_numpy()
    # All pairs of the last layer.
    assert own[-1] == pytest.approx(found["activations"]["pair_information"].iloc[-1])


def test_similarity_can_be_left_out(split, found):
    without = inspect(network(), split, similarity=False)
    assert without["layer-similarity"].empty
    assert without["activations"].equals(found["activations"])


def test_sizes_are_of_the_convolutions_unless_told(found, split):
    assert set(found["silhouette-sizes"]["layer"]) == {1, 2}
    told = inspect(network(), split, sizes_layers=(4,))["silhouette-sizes"]
    assert set(told["layer"]) == {4}
    assert told.groupby("distance")["share"].max().eq(1).all()
    assert told.groupby("distance")["share"].min().eq(2 / 250).all()
    with pytest.raises(ConfigError, match="sizes_layers: 5: the network has layers 1 to 4"):
        inspect(network(), split, sizes_layers=(1, 5))


def test_memory_is_bounded(split):
    with pytest.raises(ConfigError, match="memory is 1"):
        inspect(network(hidden=5000), split, memory=1, images=100)


def test_bins_of_mean_activations_are_parts_of_one_another():
    fine, coarse = (_layer_numbers.mean_histogram(np.array([0.0, top])) for top in (0.3, 1.3))
    assert set(coarse["lower"][coarse["lower"] < 0.3]) <= set(fine["lower"])
    assert (fine["lower"].iloc[0], fine["count"].sum()) == (0, 2)
    signed = _layer_numbers.mean_histogram(np.array([-0.9, 0.5]))
    assert signed["lower"].iloc[0] <= -0.9
    assert signed["upper"].iloc[-1] > 0.5
    assert _layer_numbers.mean_histogram(np.zeros(3))["count"].tolist() == [3]


@pytest.mark.parametrize(
    "wrong", [{"images": 9}, {"pairs": 0}, {"memory": 0}, {"centres": 0}, {"around": 1.5}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        activations.Options(**wrong)
