"""Activations of each layer for training images: zeros, information, clusters (S2.11–S2.18)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from cobaye import randomness
from cobaye.analyses import _layer_numbers
from cobaye.errors import ConfigError
from cobaye.inside.neurons import bits, capture, similarity
from cobaye.inside.neurons.bits import Bits
from cobaye.inside.neurons.capture import Layer
from cobaye.inside.opened_run import Inside
from cobaye.storage import mapped_rows

TABLES = {
    "activations": "activations.csv",
    "activation-histograms": "activation-histograms.parquet",
    "pair-histograms": "pair-histograms.parquet",
    "silhouette-sizes": "silhouette-sizes.csv",
    "layer-similarity": "layer-similarity.csv",
}
COLUMNS = {
    "activations": "layer name neurons images zeros off on pairs_off pairs_on pairs_mixed "
    "pair_information pair_information_below_one label_information "
    "silhouette_euclidean silhouette_cosine active_around_euclidean active_around_cosine "
    "silhouette_euclidean_neurons silhouette_cosine_neurons "
    "active_around_euclidean_neurons active_around_cosine_neurons never_active always_active",
    "activation-histograms": "layer name lower upper count",
    "pair-histograms": "layer name lower upper count",
    "silhouette-sizes": "layer name distance share silhouette deviation neurons",
    "layer-similarity": "layer other svcca svcca_null pair_information directions",
}
PARTS = ("activation-histograms", "pair-histograms", "silhouette-sizes")
STATES = ("initial", "trained")
SPLIT = "train"
# Sequences of layers (`neurons.capture` requires that).
NETWORKS = ("vgg16", "convnet", "mlp", "linear", "perceptron")
# Images per direction of SVCCA: with fewer, unrelated layers are alike.
IMAGES_PER_DIRECTION = 10
# Layers at each end whose silhouette is shown against the neighbourhood's size.
ENDS = 3


@dataclass(frozen=True)
class Options:
    """How much is looked at; larger numbers than there are mean all."""

    #: Training images, except for the next key and `sizes_images`.
    images: int = 1000
    #: Training images over which the mean activation of a neuron is taken.
    histogram_images: int = 2000
    #: Pairs of neurons drawn within each layer and between each two layers; all pairs where there
    #: are fewer.
    pairs: int = 10000
    #: Neurons of each layer whose information with the labels is taken.
    neurons: int = 10000
    #: Neurons of each layer whose inputs' silhouette is taken.
    clustered: int = 20
    #: For the silhouette: share of the active inputs, the most central ones.
    centres: float = 0.1
    #: For the silhouette: share of the images around each centre.
    neighbours: float = 0.2
    #: For the share of active inputs among neighbours: share of the active inputs, the most central
    #: ones.
    around_centres: float = 0.05
    #: For the same: share of the images around each centre.
    around: float = 0.05
    #: Numbers of layers, from 1, for the silhouette against the size of the neighbourhood; `[]`:
    #: the first and the last three convolutions (or layers, where there is no convolution).
    sizes_layers: tuple[int, ...] = ()
    #: Training images for the silhouette against the size of the neighbourhood.
    sizes_images: int = 2000
    #: Neurons drawn in each of these layers.
    trials: int = 20
    #: Whether every two layers are compared.
    similarity: bool = True
    #: Seed of the images, neurons and pairs, which are the same for all networks of one shape.
    seed: int = 0
    #: Largest size, in megabytes, of the activations of one layer and its inputs. More is refused
    #: before anything is computed. A VGG-16 of full width takes 524 per 1,000 images of 32×32.
    memory: int = 1500

    def __post_init__(self):
        for name in ("images", "histogram_images", "sizes_images"):
            if getattr(self, name) < 10:
                raise ValueError(f"{name} must be at least 10, not {getattr(self, name)}")
        for name in ("pairs", "neurons", "clustered", "trials", "memory"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("centres", "neighbours", "around_centres", "around"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], not {getattr(self, name)}")


def inspect(run: Inside, options: Options) -> dict[str, pd.DataFrame]:
    """Look at each layer once; see `Options` and the captions of the tables.

    All numbers of images count from the start of one seeded order. Raises ConfigError for a network
    that is no sequence of layers, and where `memory` is too small.
    """
    network, prepare = run.forward()
    layers = capture.layers(network)
    numbers = _sizes_layers(options.sizes_layers, layers)
    wanted = max(options.images, options.histogram_images, options.sizes_images)
    images, labels = _sample(run, wanted, options.seed)
    with tqdm(total=len(layers), unit="layer") as progress:
        collected = _Collected(options, labels, numbers, progress)
        capture.walk(network, images, prepare, collected.add, options.memory * 1e6)
    return collected.tables()


def _sample(run: Inside, images: int, seed: int) -> tuple[Tensor, np.ndarray]:
    order = np.random.default_rng(randomness.derived_seed("activations/images", seed))
    chosen = torch.from_numpy(order.permutation(len(run.split.labels))[:images])
    inputs = run.split.inputs
    drawn = inputs.new_empty(len(chosen), *inputs.shape[1:])
    mapped_rows.take(inputs, chosen, drawn)
    return drawn, run.split.labels[chosen].numpy()


def _sizes_layers(chosen: Iterable[int], layers: dict[str, bool]) -> set[int]:
    """Return the numbers of the layers whose silhouette is shown against size."""
    if beyond := [number for number in chosen if not 1 <= number <= len(layers)]:
        raise ConfigError(f"sizes_layers: {beyond[0]}: the network has layers 1 to {len(layers)}")
    numbers = [n for n, of_images in enumerate(layers.values(), start=1) if of_images]
    numbers = numbers or list(range(1, len(layers) + 1))
    return set(chosen) or {*numbers[:ENDS], *numbers[-ENDS:]}


class _Collected:
    """The tables of a run, to which one layer after the other is added."""

    def __init__(self, options: Options, labels: np.ndarray, sizes: set[int], progress: tqdm):
        self.options, self.labels, self.sizes, self.progress = options, labels, sizes, progress
        self.of_layers: list[dict[str, object]] = []
        self.parts: dict[str, list[pd.DataFrame]] = {name: [] for name in PARTS}
        self.similarities: list[dict[str, float]] = []
        self.bits: list[Bits] = []
        self.bases: list[Tensor] = []

    def add(self, layer: Layer) -> None:
        """Add a layer's rows; its bits and a few directions stay in memory."""
        options = self.options
        images = min(options.images, len(self.labels))
        activations, decisive = layer.activations[:images], layer.decisive[:images]
        layer_bits, neurons = bits.binarise(activations), activations.shape[1]
        pairs = bits.draw_pairs(neurons, options.pairs, self._drawing("pairs", layer))
        labelled = self._drawn("labels", layer, options.neurons)
        clustered = self._drawn("clusters", layer, options.clustered)
        labels = self.labels[:images]
        information, histogram = _layer_numbers.information(layer_bits, *pairs, labels, labelled)
        row = {"layer": layer.number, "name": layer.name, "neurons": neurons, "images": images}
        row |= _layer_numbers.pathology(layer_bits, *pairs) | information
        within = (options.centres, options.neighbours)
        around = (options.around_centres, options.around)
        row |= _layer_numbers.clusters(layer, clustered, images, within, around)
        self.of_layers.append(row | _layer_numbers.activity(decisive))
        means = _layer_numbers.means(layer.activations[: options.histogram_images])
        self._keep("activation-histograms", layer, _layer_numbers.mean_histogram(means))
        self._keep("pair-histograms", layer, histogram)
        if layer.number in self.sizes:
            trials = self._drawn("trials", layer, options.trials)
            shown = min(options.sizes_images, len(self.labels))
            table = _layer_numbers.by_size(layer, trials, shown, options.centres)
            self._keep("silhouette-sizes", layer, table)
        if options.similarity:
            self._compare(layer, layer_bits, activations)
        self.progress.update()

    def _compare(self, layer: Layer, layer_bits: Bits, activations: Tensor) -> None:
        """Compare a layer with all earlier ones and with itself."""
        most = max(1, layer_bits.images // IMAGES_PER_DIRECTION)
        self.bits.append(layer_bits)
        self.bases.append(basis := similarity.directions(activations, most=most))
        for number, (other, of_other) in enumerate(zip(self.bits, self.bases, strict=True), 1):
            drawing = self._drawing(f"pairs with {number}", layer)
            if number == layer.number:
                first, second = bits.draw_pairs(len(layer_bits.ones), self.options.pairs, drawing)
            else:
                first = drawing.integers(len(other.ones), size=self.options.pairs)
                second = drawing.integers(len(layer_bits.ones), size=self.options.pairs)
            seed = randomness.derived_seed("activations/null", self.options.seed, number)
            values = {
                "svcca": similarity.svcca(of_other, basis),
                "svcca_null": similarity.by_chance(of_other, basis, seed),
                "pair_information": _layer_numbers.mean(
                    bits.pair_information(other, first, second, layer_bits)
                ),
            }
            sizes = {number: of_other.shape[1], layer.number: basis.shape[1]}
            for one, two in dict.fromkeys([(number, layer.number), (layer.number, number)]):
                row = {"layer": one, "other": two, **values, "directions": sizes[one]}
                self.similarities.append(row)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return all tables."""
        joined = {name: pd.concat(parts, ignore_index=True) for name, parts in self.parts.items()}
        similarities = pd.DataFrame(self.similarities)
        if len(similarities):
            similarities = similarities.sort_values(["layer", "other"], ignore_index=True)
        return {
            "activations": pd.DataFrame(self.of_layers),
            "layer-similarity": similarities,
            **joined,
        }

    def _keep(self, table: str, layer: Layer, rows: pd.DataFrame) -> None:
        rows.insert(0, "layer", layer.number)
        rows.insert(1, "name", layer.name)
        self.parts[table].append(rows)

    def _drawing(self, purpose: str, layer: Layer) -> np.random.Generator:
        """Return the random generator for a layer: the same for all networks of one shape."""
        numbers = (self.options.seed, layer.number, layer.activations.shape[1])
        return np.random.default_rng(randomness.derived_seed(f"activations/{purpose}", *numbers))

    def _drawn(self, purpose: str, layer: Layer, number: int) -> np.ndarray:
        neurons = layer.activations.shape[1]
        drawing = self._drawing(purpose, layer)
        return drawing.choice(neurons, min(number, neurons), replace=False)
