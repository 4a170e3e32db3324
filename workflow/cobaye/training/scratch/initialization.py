"""Initial weights, written **in place**: into the array that a parameter holds, never a new one."""

from __future__ import annotations

import math

import numpy as np


def glorot(weight: np.ndarray, generator: np.random.Generator) -> None:
    """Fill W (outputs, inputs) uniformly from ±√(6 / (inputs + outputs)).

    The variance 2 / (inputs + outputs) keeps that of activations and of gradients alike, for tanh
    (Glorot and Bengio, 2010, eq. 16).
    """
    outputs, inputs = weight.shape
    _uniform(weight, math.sqrt(6 / (inputs + outputs)), generator)


def kaiming(weight: np.ndarray, generator: np.random.Generator) -> None:
    """Fill W (outputs, inputs) uniformly from ±√(6 / inputs).

    The variance 2 / inputs keeps that of activations where ReLU sets half of them to zero (He et
    al., 2015, eq. 10).
    """
    _uniform(weight, math.sqrt(6 / weight.shape[1]), generator)


def _uniform(weight: np.ndarray, limit: float, generator: np.random.Generator) -> None:
    weight[...] = generator.uniform(-limit, limit, weight.shape)
