"""Accuracy on test without a fraction of the weights, random ones or the smallest (S2.10)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd
import torch

from cobaye import randomness
from cobaye.data.splits import Split
from cobaye.inside import pruned_networks, rotations
from cobaye.inside.opened_run import Inside
from cobaye.models import scoring
from cobaye.storage import mapped_rows

TABLES = {"pruning": "pruning.csv"}
COLUMNS = {"pruning": "how fraction repeat accuracy loss"}
STATES = ("trained",)
SPLIT = "test"
# Over the split, by default: 18 fractions in five random ways and by magnitude, and none pruned.
PASSES = 109
# Images per block. On a processor, so small ones and channels last take half the time of 512 with
# channels first (VGG-16 of an eighth or a quarter of its width, one core of two, busy).
BLOCK = {"cpu": 128}


@dataclass(frozen=True)
class Options:
    """What is removed, how often, and what is scored."""

    #: Shares of all weights that are set to zero, in [0, 1], 0 among them, no share twice.
    fractions: tuple[float, ...] = (
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
        *(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
    )
    #: Number of random draws.
    repeats: int = 5
    #: Number of test images, drawn at random, the same for all runs; 0: all.
    images: int = 0
    #: Seed of both draws.
    seed: int = 0

    def __post_init__(self):
        if not self.fractions or not all(0 <= fraction <= 1 for fraction in self.fractions):
            raise ValueError(f"fractions must be in [0, 1], not {list(self.fractions)}")
        if 0 not in self.fractions:
            raise ValueError("fractions: 0 is needed, what the others are compared with")
        if len(set(self.fractions)) < len(self.fractions):
            raise ValueError(f"fractions has one twice: {list(self.fractions)}")
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, not {self.repeats}")
        if self.images < 0:
            raise ValueError(f"images must be at least 0, not {self.images}")


def inspect(run: Inside, options: Options) -> dict[str, pd.DataFrame]:
    """Evaluate the trained network without each fraction of its kernels' weights."""
    network, prepare = run.forward()
    network.to(memory_format=torch.channels_last)
    split = drawn(run.split, options.images, options.seed)
    size = BLOCK.get(run.device, scoring.BLOCK)

    def evaluate() -> tuple[float, float]:
        return scoring.means(lambda rows: network(prepare(rows)), split, run.device, run.loss, size)

    kernels = [network.get_parameter(kernel.parameter) for kernel in rotations.kernels(network)]
    settings = (options.fractions, options.repeats, options.seed)
    with torch.inference_mode():
        return {"pruning": pruned_networks.curves(kernels, evaluate, *settings)}


def drawn(split: Split, images: int, seed: int) -> Split:
    """Return so many images of a split, drawn without replacement, in its order; 0: all."""
    if not 0 < images < len(split.labels):
        return split
    generator = torch.Generator().manual_seed(randomness.derived_seed("pruning-images", seed))
    chosen = torch.randperm(len(split.labels), generator=generator)[:images].sort().values
    inputs = split.inputs.new_empty(images, *split.inputs.shape[1:])
    mapped_rows.take(split.inputs, chosen, inputs)
    return dataclasses.replace(split, inputs=inputs, labels=split.labels[chosen])
