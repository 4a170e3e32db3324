"""Time the silhouette of one neuron's weighted inputs, 1,000 images, against a plain double loop.

    python benchmarks/silhouette.py --threads 1 --repeats 3

    cobaye  `neurons.neighbours`: the 10 % most central active points, the 20 % nearest of each
    sizes   the same for 50 sizes of neighbourhoods at once
    plain   the same by definition: distances of all pairs in a double loop, each by NumPy

Inputs of 576 numbers, as of a 3×3 convolution on 64 channels. Values are compared.
"""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
import torch
from _common import interleave, machine, ratio, show, spread, table

from cobaye.inside.neurons import neighbours

IMAGES, INPUTS, CENTRES, NEAR = 1000, 576, 0.1, 0.2


def plain(inputs: np.ndarray, weights: np.ndarray, active: np.ndarray, metric: str) -> float:
    """Return the mean silhouette by definition."""
    size = np.abs(weights)
    number = len(inputs)
    between = np.zeros((number, number))
    for i in range(number):
        for j in range(number):
            x, y = inputs[i], inputs[j]
            if metric == "euclidean":
                between[i, j] = np.sqrt(((size * (x - y)) ** 2).sum())
            else:
                norms = np.sqrt((size * x * x).sum() * (size * y * y).sum())
                between[i, j] = 1 - (size * x * y).sum() / norms
    own = np.flatnonzero(active)
    central = own[np.argsort(between[np.ix_(own, own)].sum(axis=1), kind="stable")]
    found = []
    for i in central[: round(CENTRES * len(own))]:
        near = [j for j in np.argsort(between[i], kind="stable") if j != i]
        near = near[: round(NEAR * number) - 1]
        ours = [between[i, j] for j in near if active[j]]
        theirs = [between[i, j] for j in near if not active[j]]
        if ours and theirs:
            a, b = np.mean(ours), np.mean(theirs)
            found.append((b - a) / max(a, b))
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(IMAGES, INPUTS, generator=generator).relu_()
    weights = torch.randn(INPUTS, generator=generator)
    active = inputs @ weights > 0
    sizes = torch.from_numpy(np.unique(np.geomspace(2, IMAGES, 50).astype(np.int64)))
    rows, seconds, values = [["metric", "cobaye, ms", "sizes, ms", "plain, s", "ratio"]], {}, {}
    for metric in ("euclidean", "cosine"):

        def ours(at: torch.Tensor, metric: neighbours.Metric = metric) -> torch.Tensor:
            found = neighbours.neighbourhoods(inputs, weights, active, metric, CENTRES)
            return neighbours.silhouettes(found, CENTRES, at)

        near = torch.tensor([round(NEAR * IMAGES)])
        arrays = (inputs.numpy(), weights.numpy(), active.numpy())
        tasks = {
            "cobaye": lambda ours=ours, near=near: ours(near),
            "sizes": lambda ours=ours: ours(sizes),
            "plain": lambda arrays=arrays, metric=metric: plain(*arrays, metric),
        }
        values[metric] = {"cobaye": ours(near).item(), "plain": plain(*arrays, metric)}
        times = interleave(tasks, options.repeats, "cpu")
        seconds[metric] = {name: spread(each) for name, each in times.items()}
        seconds[metric]["ratio"] = ratio(times["plain"], times["cobaye"])
        own = seconds[metric]
        shown = [show(own[name], 1e-3, 1) for name in ("cobaye", "sizes")]
        rows.append([metric, *shown, show(own["plain"]), show(own["ratio"], digits=0)])
    print(table(rows))
    apart = max(abs(each["cobaye"] - each["plain"]) for each in values.values())
    print(f"\nlargest difference of the values: {apart:.0e}\n")
    facts = {"machine": machine("cpu"), "load": os.getloadavg()[0], **vars(options)}
    print(json.dumps({**facts, "seconds": seconds, "values": values}))


if __name__ == "__main__":
    main()
