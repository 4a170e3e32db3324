"""Pruning without retraining (S2.10): loss and accuracy as weights of a network are set to zero.

All kernels are pruned together, as one vector; biases and batch norm are left alone. A way of
pruning is an order of all weights: a fraction sets the first of them to zero, so a larger fraction
removes the same weights and more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
import torch
from torch import Tensor, nn

from cobaye import randomness


def orders(flat: Tensor, repeats: int, seed: int) -> Iterator[tuple[str, int, Tensor]]:
    """Yield every way of pruning weights (n,): random or magnitude, its repeat, its order (n,).

    magnitude: the smallest in size first, once; equal ones in the order of the network. random: a
    permutation per repeat, a function of (seed, repeat, n) alone, so networks of one size lose the
    same weights.
    """
    for repeat in range(repeats):
        generator = torch.Generator().manual_seed(randomness.derived_seed("pruning", seed, repeat))
        yield "random", repeat, torch.randperm(len(flat), generator=generator)
    yield "magnitude", 0, flat.abs().argsort(stable=True)


@contextmanager
def pruned(
    kernels: Sequence[nn.Parameter],
) -> Iterator[tuple[Tensor, Callable[[Tensor, int], None]]]:
    """Give the kernels as one vector, and a function that sets the first of an order to zero.

    Each call begins with the whole network; its weights are restored at the end.
    """
    whole = torch.cat([kernel.detach().flatten() for kernel in kernels])

    def write(flat: Tensor) -> None:
        pieces = flat.split([kernel.numel() for kernel in kernels])
        for kernel, piece in zip(kernels, pieces, strict=True):
            kernel.detach().copy_(piece.view_as(kernel))

    def prune(order: Tensor, count: int) -> None:
        remaining = whole.clone()
        remaining[order[:count]] = 0
        write(remaining)

    try:
        yield whole, prune
    finally:
        write(whole)


def curves(
    kernels: Sequence[nn.Parameter],
    evaluate: Callable[[], tuple[float, float]],
    fractions: Sequence[float],
    repeats: int,
    seed: int,
) -> pd.DataFrame:
    """Return loss and accuracy without a fraction of the weights, a row per way and fraction.

    kernels: its parameters that are pruned, n weights in all, of which a fraction f sets round(f n)
    to zero. evaluate: returns loss and accuracy of the network as it is. Columns: how, fraction,
    repeat, accuracy, loss. The whole network, the same in every way, is evaluated once.
    """
    rows, unpruned = [], evaluate()
    with pruned(kernels) as (whole, prune):
        for how, repeat, order in orders(whole, repeats, seed):
            for fraction in fractions:
                count = round(fraction * len(whole))
                prune(order.to(whole.device), count)
                loss, accuracy = evaluate() if count else unpruned
                row = {"how": how, "fraction": fraction, "repeat": repeat}
                rows.append({**row, "accuracy": accuracy, "loss": loss})
    return pd.DataFrame(rows)
