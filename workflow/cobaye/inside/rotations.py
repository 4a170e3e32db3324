"""Each layer's kernel before and after training (S2.7–S2.9): rotation, norms, histograms.

A kernel is a parameter of two dimensions or more: the weights of a convolution or a linear layer.
Biases and batch norm have none. Everything is computed in float64, whatever the run's precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

# Bins of a histogram, in the unit of its layer: of equal width near zero, and further out 5 % of
# their distance from it, so that small and large moves both show. A power of three, so that
# neighbours can be joined about the middle bin.
BINS = 243
_CORE, _REACH = 0.1, 30.0


class Kernel(NamedTuple):
    """A kernel of a network. layer: from 1; name: of its module; kind: conv or dense."""

    layer: int
    name: str
    kind: str
    parameter: str

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that name the kernel in tables."""
        return {"layer": self.layer, "name": self.name}


def kernels(network: nn.Module) -> list[Kernel]:
    """Return the kernels of a network, in the order of its modules."""
    parameters = [(name, p.ndim) for name, p in network.named_parameters() if p.ndim > 1]
    return [
        Kernel(layer, name.removesuffix(".weight"), "conv" if ndim > 2 else "dense", name)
        for layer, (name, ndim) in enumerate(parameters, start=1)
    ]


def rotation(initial: Tensor, now: Tensor, near: float) -> dict[str, float]:
    """Return how far a kernel turned, its norms and its shares of small weights, as floats.

    With w₀ = initial, w = now, Δw = w − w₀ (any shapes, the same): cosine_distance φ =
    1 − w₀·w / (‖w₀‖‖w‖), exactly 0 where nothing changed; norm ‖w‖; norm_ratio ‖w₀‖/‖w‖ and
    projection w₀·Δw / (‖w₀‖‖w‖), with φ = 1 − norm_ratio − projection; near_zero: the share of
    weights below `near` root mean squares of w₀ in size; near_own_zero: of w itself, which a layer
    that only shrank leaves as it was; opposed: the share of weights whose change has the sign
    opposite to that of w₀ (those that changed, w₀ ≠ 0). NaN where a norm that is divided by is 0,
    or w is not finite, and opposed where nothing changed.
    """
    before, after = initial.double().flatten(), now.double().flatten()
    old_square, new_square = (before * before).sum(), (after * after).sum()
    both = (old_square * new_square).sqrt() if old_square and new_square else old_square * math.nan
    measures = {
        "cosine_distance": 1 - (before * after).sum() / both,
        "norm": new_square.sqrt(),
        "norm_ratio": old_square.sqrt() / new_square.sqrt()
        if new_square
        else new_square * math.nan,
        "projection": (before * (after - before)).sum() / both,
        "near_zero": _below(after, near * (old_square / len(after)).sqrt()),
        "near_own_zero": _below(after, near * (new_square / len(after)).sqrt()),
        "opposed": _opposed(before, after - before),
    }
    return {name: value.item() for name, value in measures.items()}


def _opposed(before: Tensor, change: Tensor) -> Tensor:
    if not change.isfinite().all():
        return before.new_tensor(math.nan)
    moved = before.sign() * change.sign()
    return (moved[moved != 0] < 0).double().mean()


def _below(weights: Tensor, limit: Tensor) -> Tensor:
    known = limit > 0 and bool(weights.isfinite().all())
    return (weights.abs() < limit).double().mean() if known else limit * math.nan


def histograms(initial: Tensor, now: Tensor) -> pd.DataFrame:
    """Return how a kernel's weights and their changes are distributed: a row per quantity and bin.

    quantity: change (Δw), relative-change (Δw/‖w‖), weight (w), initial (w₀); lower ≤ value <
    upper, the bin's edges (float64); count (int64). What lies beyond the outermost edges is counted
    in the outermost bins; what is not finite is not counted. Kernels of one shape have the same
    edges: in units of 1/√n for the relative change, as large as a component of a unit vector of n
    numbers is, and else of √(6 / fan-in), the limit of He's uniform initialisation.
    """
    before, after = initial.double().flatten(), now.double().flatten()
    change = after - before
    limit, even = math.sqrt(6 / initial[0].numel()), 1 / math.sqrt(len(after))
    quantities = {
        "change": (change, limit),
        "relative-change": (change / after.norm(), even),
        "weight": (after, limit),
        "initial": (before, limit),
    }
    tables = []
    for quantity, (values, unit) in quantities.items():
        bin_edges = edges(unit)
        bins = {"lower": bin_edges[:-1], "upper": bin_edges[1:], "count": counts(values, bin_edges)}
        tables.append(pd.DataFrame({"quantity": quantity, **bins}))
    return pd.concat(tables, ignore_index=True)


def edges(unit: float) -> np.ndarray:
    """Return the edges (BINS + 1,) of a histogram, float64, symmetric about the middle bin."""
    steps = np.arange(BINS + 1) - BINS / 2
    return _CORE * unit * np.sinh(steps * (math.asinh(_REACH / _CORE) / (BINS / 2)))


def counts(values: Tensor, bin_edges: np.ndarray) -> np.ndarray:
    """Return how many finite values (N,) lie in each bin, int64; the outermost have no end."""
    places = torch.bucketize(
        values[values.isfinite()], torch.from_numpy(bin_edges[1:-1]), right=True
    )
    return torch.bincount(places, minlength=len(bin_edges) - 1).numpy()


def rotations(
    kernels: Sequence[Kernel], initial: dict[str, Tensor], now: dict[str, Tensor], near: float
) -> list[dict[str, Any]]:
    """Return a row per kernel of tensors by name: layer, name, kind, parameters and `rotation`."""
    return [
        {
            **kernel.columns,
            "kind": kernel.kind,
            "parameters": now[kernel.parameter].numel(),
            **rotation(initial[kernel.parameter], now[kernel.parameter], near),
        }
        for kernel in kernels
    ]
