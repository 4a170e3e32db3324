"""Neurons as bits, and their mutual information with each other and the labels (S2.12–S2.15).

A neuron is 1 for an image if its activation is strictly above its own mean over the images, else 0.
Its bits over all images are packed into words of 64, so that a pair's joint counts are an AND and a
population count.

Normalised mutual information of X and Y: 2 I(X;Y) / (H(X) + H(Y)), I = H(X) + H(Y) − H(X,Y), of the
relative frequencies; scikit-learn's ``normalized_mutual_info_score`` with the arithmetic mean. Of
two constants it is 1, of one constant and anything that varies 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

# Neurons at a time while packing: their comparison in float64 then takes few megabytes.
BLOCK = 4096


@dataclass(frozen=True)
class Bits:
    """words: (n, ⌈N/64⌉) uint64, zeros behind the last image. ones: (n,) int64. images: N."""

    words: np.ndarray
    ones: np.ndarray
    images: int

    @property
    def off(self) -> np.ndarray:
        """Neurons that are always 0, (n,) bool: their activation is constant."""
        return self.ones == 0

    @property
    def on(self) -> np.ndarray:
        """Neurons that are always 1, (n,) bool; none after `binarise`: not all exceed the mean."""
        return self.ones == self.images


def binarise(activations: Tensor) -> Bits:
    """Return which activations (N, n) are above their neuron's mean, which is taken in float64.

    The mean of equal float32 values is then exactly that value, and a constant neuron is 0.
    """
    words_of_blocks = []
    for block in activations.split(BLOCK, dim=1):
        block = block.double()
        words_of_blocks.append(_packed((block > block.mean(dim=0)).T.contiguous().cpu().numpy()))
    words = np.concatenate(words_of_blocks)
    return Bits(words, count(words), len(activations))


def _packed(bits: np.ndarray) -> np.ndarray:
    """Return bits (n, N) bool as words (n, ⌈N/64⌉)."""
    packed = np.packbits(bits, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def count(words: np.ndarray) -> np.ndarray:
    """Return how many bits are 1 in each row of words, int64."""
    return np.bitwise_count(words).sum(axis=1, dtype=np.int64)


def draw_pairs(neurons: int, pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of indices: pairs of distinct neurons, drawn with replacement.

    Where there are no more pairs than requested, each once; none for a single neuron.
    """
    if neurons * (neurons - 1) // 2 <= pairs:
        return np.triu_indices(neurons, k=1)
    first, second = rng.integers(neurons, size=pairs), rng.integers(neurons - 1, size=pairs)
    return first, second + (second >= first)


def pair_information(
    bits: Bits, first: np.ndarray, second: np.ndarray, other: Bits | None = None
) -> np.ndarray:
    """Return the normalised mutual information of pairs, (P,) float64.

    first: neurons of `bits`; second: of `other`, of the same images, else of `bits`. Copied and
    negated bits give exactly 1.
    """
    other = other or bits
    both = count(bits.words[first] & other.words[second])
    return information(bits.images, bits.ones[first], other.ones[second], both)


def information(images: int, first: np.ndarray, second: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return the normalised mutual information of pairs of bits from how often each is 1.

    first, second, both: (P,) counts out of `images`.
    """
    f = _k_log_k(images)
    # Sums of terms in an order that makes equal tables give equal entropies, to the last bit.
    one = f[images] - (f[first] + f[images - first])
    two = f[images] - (f[second] + f[images - second])
    neither = images - first - second + both
    joint = f[images] - ((f[both] + f[neither]) + (f[first - both] + f[second - both]))
    return _normalised(one, two, joint)


def label_information(bits: Bits, labels: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """Return the normalised mutual information of neurons (m,) with the labels (N,), float64."""
    f, words = _k_log_k(bits.images), bits.words[neurons]
    classes, sizes = np.unique(labels, return_counts=True)
    masks = _packed(labels[None] == classes[:, None])
    joint = np.full(len(words), f[bits.images])
    for mask, size in zip(masks, sizes, strict=True):
        ones = count(words & mask)
        joint -= f[ones] + f[size - ones]
    ones = bits.ones[neurons]
    one = f[bits.images] - (f[ones] + f[bits.images - ones])
    return _normalised(one, np.full_like(one, f[bits.images] - f[sizes].sum()), joint)


def _k_log_k(images: int) -> np.ndarray:
    """Return k log k for k = 0 … images: N times an entropy is a sum of these."""
    counts = np.arange(images + 1, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1))


def _normalised(one: np.ndarray, two: np.ndarray, joint: np.ndarray) -> np.ndarray:
    mean = (one + two) / 2
    shared = np.where((one > 0) & (two > 0), np.maximum(one + two - joint, 0), 0)
    return np.where(mean > 0, shared / np.where(mean > 0, mean, 1), 1.0)
