"""Numbers computed from the activations of one layer, for the analysis `activations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cobaye.inside.neurons import bits as neuron_bits
from cobaye.inside.neurons import neighbours
from cobaye.inside.neurons.bits import Bits
from cobaye.inside.neurons.capture import Layer

METRICS = ("euclidean", "cosine")
# Neurons at a time.
BLOCK = 4096
# At most, between 0 and the mean activation furthest from it; between 0 and 1.
MEAN_BINS, PAIR_BINS = 64, 100
# Sizes of neighbourhoods between 2 images and all, evenly spaced on a logarithmic axis.
SIZES = 50


def means(activations: Tensor) -> np.ndarray:
    """Return the mean activation of each neuron, (n,) float64, of activations (N, n)."""
    blocks = activations.split(BLOCK, dim=1)
    return torch.cat([block.double().mean(dim=0) for block in blocks]).cpu().numpy()


def mean_histogram(values: np.ndarray) -> pd.DataFrame:
    """Return a histogram of the neurons' mean activations, from 0, or the lowest, up.

    Widths are powers of two, and edges their multiples, so that bins of two networks are the same
    or parts of one another.
    """
    largest = np.abs(values).max()
    width = 2.0 ** np.ceil(np.log2(largest / MEAN_BINS)) if largest > 0 else 1.0
    first = min(0, np.floor(values.min() / width))
    last = max(first + 1, np.floor(values.max() / width) + 1)
    return _histogram(values, width * np.arange(first, last + 1))


def mean(values: np.ndarray) -> float:
    """Return the mean of values, NaN of none."""
    return float(values.mean()) if len(values) else float("nan")


def _histogram(values: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    counts, _ = np.histogram(values, edges)
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "count": counts})


def activity(decisive: Tensor) -> dict[str, float]:
    """Return the shares of neurons that no image makes active, and that every image does."""
    blocks = decisive.split(BLOCK, dim=1)
    active = torch.cat([(block > 0).sum(dim=0) for block in blocks])
    return {
        "never_active": (active == 0).double().mean().item(),
        "always_active": (active == len(decisive)).double().mean().item(),
    }


def pathology(bits: Bits, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Return the share of zeros among the bits, and those of constant neurons and pairs of them.

    off, on: neurons always 0, always 1; pairs_off, pairs_on: pairs of two such; pairs_mixed: of one
    of each kind. NaN of pairs where there are none.
    """
    off, on = bits.off, bits.on
    pairs = {
        "pairs_off": off[first] & off[second],
        "pairs_on": on[first] & on[second],
        "pairs_mixed": (off[first] & on[second]) | (on[first] & off[second]),
    }
    return {
        "zeros": 1 - bits.ones.sum() / (bits.images * len(bits.ones)),
        "off": off.mean(),
        "on": on.mean(),
        **{name: mean(which) for name, which in pairs.items()},
    }


def information(
    bits: Bits, first: np.ndarray, second: np.ndarray, labels: np.ndarray, neurons: np.ndarray
) -> tuple[dict[str, float], pd.DataFrame]:
    """Return means of normalised mutual information, and its histogram over pairs, in bins of 0.01.

    The means: of all pairs, of those below 1, and of neurons with the labels.
    """
    of_pairs = neuron_bits.pair_information(bits, first, second)
    values = {
        "pair_information": mean(of_pairs),
        "pair_information_below_one": mean(of_pairs[of_pairs < 1]),
        "label_information": mean(neuron_bits.label_information(bits, labels, neurons)),
    }
    # Rounding may put a value a hair above 1.
    return values, _histogram(np.minimum(of_pairs, 1), np.linspace(0, 1, PAIR_BINS + 1))


def clusters(
    layer: Layer,
    neurons: Sequence[int],
    images: int,
    within: tuple[float, float],
    around: tuple[float, float],
) -> dict[str, float]:
    """Return, by metric, the mean silhouette of neurons' inputs and the active share around.

    within: the shares of images that are centres, and neighbours of each, for the silhouette.
    around: the same two, for the active share. Each mean is over neurons that have a value.
    """
    size, near = (neighbours.share(part, images) for part in (within[1], around[1]))
    rows: list[dict[str, float]] = []
    for neuron in neurons:
        for metric, points in _around(layer, neuron, images, max(within[0], around[0])):
            silhouette = neighbours.silhouettes(points, within[0], torch.tensor([size])).item()
            share = neighbours.active_around(points, around[0], max(near, 2))
            rows.append({f"silhouette_{metric}": silhouette, f"active_around_{metric}": share})
    names = [f"{name}_{metric}" for name in ("silhouette", "active_around") for metric in METRICS]
    table = pd.DataFrame(rows, columns=names, dtype=float)
    counts = {f"{name}_neurons": int(table[name].count()) for name in names}
    return {name: float(table[name].mean()) for name in names} | counts


def by_size(layer: Layer, neurons: Sequence[int], images: int, centres: float) -> pd.DataFrame:
    """Return the silhouette against the size of the neighbourhood: a trial is a neuron.

    distance, share (of the images), silhouette: the mean over the trials that have one, deviation:
    their standard deviation, neurons: their number.
    """
    sizes = np.unique(np.round(np.geomspace(2, images, SIZES)).astype(np.int64))
    trials: dict[str, list[np.ndarray]] = {metric: [] for metric in METRICS}
    for neuron in neurons:
        for metric, points in _around(layer, neuron, images, centres):
            values = neighbours.silhouettes(points, centres, torch.from_numpy(sizes))
            trials[metric].append(values.cpu().numpy())
    parts = []
    for metric, values in trials.items():
        table = pd.DataFrame(np.reshape(values, (-1, len(sizes))))
        points = {"silhouette": table.mean(), "deviation": table.std(), "neurons": table.count()}
        parts.append(pd.DataFrame({"distance": metric, "share": sizes / images, **points}))
    return pd.concat(parts, ignore_index=True)


def _around(layer: Layer, neuron: int, images: int, centres: float) -> Any:
    """Yield metric and `Neighbourhoods` of a neuron's inputs; nothing if it never changes."""
    active = layer.decisive[:images, neuron] > 0
    if active.all() or not active.any():
        return
    inputs, weights = layer.vectors(neuron, images), layer.weights(neuron)
    for metric in METRICS:
        yield metric, neighbours.neighbourhoods(inputs, weights, active, metric, centres)
