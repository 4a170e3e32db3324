"""The grid of S3.3 on digits: runs side by side against one model at a time in a plain torch loop.

    python benchmarks/grid.py [--epochs 2] [--repeats 3] [--threads 1] [--batches 4 8 16 32 64 128]

Each batch size's group of 16 networks (4 widths × 4 learning rates) is trained for a few epochs,
ours and plain in turns; times per epoch are then added up to the whole grid's: ours trains 100
epochs per network and reads the smaller numbers off, one model at a time needs 10 + 20 + 50 + 100
for each. Checkpoints and evaluation are no part of it, and the plain loop keeps its data in
tensors: it has no DataLoader.
"""

from __future__ import annotations

import argparse
import itertools
import json

import torch
from _common import interleave, machine, show, spread

from cobaye import recipes
from cobaye.data import datasets, splits
from cobaye.data.datasets import digits
from cobaye.data.normalization import normalization_of
from cobaye.models import networks
from cobaye.training import loop
from cobaye.training.engines import batched

WIDTHS, RATES, EPOCHS = (10, 25, 50, 100), (0.1, 0.01, 0.001, 0.0001), (10, 20, 50, 100)
PREFIX = sum(EPOCHS) / max(EPOCHS)


def members(batch: int) -> list[recipes.Training]:
    """Return the recipes of a group."""
    sgd = recipes.Kind("sgd", {"momentum": 0.0, "nesterov": False})
    constant = recipes.Kind("constant", {})
    return [
        recipes.Training(
            data=recipes.Data("digits", None),
            engine="batched",
            model=recipes.Kind("mlp", {"widths": (width,)}),
            optimizer=recipes.Optimizer(sgd, rate, constant, batch, max(EPOCHS), "global"),
            weight_decay=0.0,
            penalize_bias=True,
            seed=0,
        )
        for width, rate in itertools.product(WIDTHS, RATES)
    ]


def build(recipe: recipes.Training) -> torch.nn.Module:
    return networks.build(recipe.model, (1, 8, 8), 10, recipe.seed)


def plain(
    group: list[tuple[recipes.Training, torch.nn.Module]],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    epochs: int,
):
    """Train one network after the other, as a textbook does."""
    for recipe, network in group:
        optimizer = torch.optim.SGD(network.parameters(), lr=recipe.optimizer.learning_rate)
        for epoch in range(1, epochs + 1):
            order = loop.batch_order(0, epoch, len(labels))
            total = torch.zeros(())
            for rows in order.split(recipe.optimizer.batch_size):
                loss = torch.nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(rows)


def ours(engine: batched.Engine, epochs: int):
    """Train them all at once."""
    for epoch in range(1, epochs + 1):
        order = loop.batch_order(0, epoch, len(engine.split.labels))
        engine.epoch(order, [each.optimizer.learning_rate for each in engine.members])


def load() -> splits.Split:
    prepared: datasets.Prepared = digits.prepare(digits.Options())
    images, labels = prepared.splits["train"]
    return splits.Split(torch.from_numpy(images), torch.from_numpy(labels), 10, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    split = load()
    normalization = normalization_of(split.inputs, "global")
    inputs = normalization(split.inputs)
    total = {"ours": [0.0] * asked.repeats, "plain": [0.0] * asked.repeats}
    print("| batch size | ours, ms/epoch of 16 | plain, ms/epoch of 16 | side by side |")
    print("|---|---|---|---|")
    for batch in asked.batches:
        group = members(batch)
        engine = batched.Engine(group, [build(each) for each in group], split, normalization, "cpu")
        pairs = [(each, build(each)) for each in group]
        times = interleave(
            {
                "ours": lambda engine=engine: ours(engine, asked.epochs),
                "plain": lambda pairs=pairs: plain(pairs, inputs, split.labels, asked.epochs),
            },
            asked.repeats,
            "cpu",
        )
        each = {name: [t / asked.epochs for t in seconds] for name, seconds in times.items()}
        faster = spread([p / o for p, o in zip(each["plain"], each["ours"], strict=True)])
        row = [show(spread(each[name]), 1e-3, 1) for name in ("ours", "plain")]
        print(f"| {batch} | {row[0]} | {row[1]} | {show(faster, digits=1)} |", flush=True)
        for name, seconds in each.items():
            epochs = max(EPOCHS) if name == "ours" else sum(EPOCHS)
            total[name] = [t + epochs * one for t, one in zip(total[name], seconds, strict=True)]
    whole = spread([p / o for p, o in zip(total["plain"], total["ours"], strict=True)])
    side = {key: value / PREFIX for key, value in whole.items()}
    print(
        f"\nwhole grid: ours {show(spread(total['ours']), digits=0)} s, "
        f"plain {show(spread(total['plain']), digits=0)} s: {show(whole, digits=1)} × faster = "
        f"{PREFIX} (prefixes) × {show(side, digits=1)} (side by side)"
    )
    facts = machine("cpu") | {"threads": asked.threads, "batches": asked.batches}
    print(json.dumps({**facts, "whole": whole, "prefix": PREFIX, "side_by_side": side}))


if __name__ == "__main__":
    main()
