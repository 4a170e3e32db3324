"""What jobs of runs side by side ask for: fully connected networks, counted by their parameters.

Assumed beside the figures of `resources`: a step costs 0.2 ms and 20 µs per network (digits-grid:
0.11 ms with 16), a checkpoint of a small network 10 ms on a network's disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cobaye import recipes
from cobaye.planning.resources import (
    BATCH,
    FLOPS,
    PREDICTION,
    READING,
    Needs,
    Sizes,
    needs,
    temperature,
)

STEP = 2e-5
SMALL_CHECKPOINT = 0.01
# Parameters, gradients, rates, momenta, λ, velocities, and a product of two of them.
COPIES = 7
# Inputs and outputs of the batches that are held at once, as numbers (`engines.batched.HELD`).
HELD = 2 * 8_000_000


def parameters(model: recipes.Kind, sizes: Sizes) -> int:
    """Return how many parameters a fully connected network has."""
    widths = (sizes.values, *model.options.get("widths", ()), sizes.classes)
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def training(
    models: Sequence[recipes.Kind], optimizer: recipes.Optimizer, sizes: Sizes, threads: int
) -> Needs:
    """Return what train_together asks for."""
    rows, total = sizes.images["train"], sum(parameters(model, sizes) for model in models)
    steps = rows / min(optimizer.batch_size, rows)
    epoch = 6 * total * rows / FLOPS / threads**0.5 + steps * (BATCH + STEP * len(models))
    seconds = optimizer.epochs * (epoch + SMALL_CHECKPOINT * len(models) + 4 * total / READING)
    held = sizes.bytes("train") + 4 * (COPIES * total + HELD)
    return needs(held, seconds + sizes.bytes("train") / READING)


def evaluating(
    models: Sequence[recipes.Kind], epochs: int, splits: Sequence[str], sizes: Sizes
) -> Needs:
    """Return what evaluate_together asks for: one run after the other."""
    images, total = sum(sizes.images[split] for split in splits), 0
    for model in models:
        total += parameters(model, sizes)
    each = 2 * total * images / FLOPS + SMALL_CHECKPOINT * len(models) + 4 * total / READING
    held = sizes.bytes(*splits) + images * PREDICTION + 4 * 2 * total + temperature(sizes)
    return needs(held, (epochs + 1) * each + sizes.bytes(*splits) / READING)
