"""Time the mutual information of 10,000 pairs of neurons over 1,000 images, as of one layer.

    python benchmarks/mutual_information.py --threads 1 --repeats 5

    bits      `neurons.bits`: packed bits of the pairs, AND and population count
    binarise  what it takes to have them: compare all activations with their means, and pack
    product   joint counts by a matrix product of all neurons with all, then the same formula
    sklearn   normalized_mutual_info_score, pair by pair, on `--sample` of the pairs

scikit-learn's time is scaled to all pairs. The values of the sample are compared.
"""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
import torch
from _common import interleave, machine, ratio, show, spread, table
from sklearn.metrics import normalized_mutual_info_score

from cobaye.inside.neurons import bits

IMAGES, NEURONS, PAIRS = 1000, 8192, 10_000


def rows(times: dict, ratios: dict, with_bits: dict, apart: dict) -> list[list[str]]:
    """Return the lines of the table, one per way of computing."""
    lines = [["what", "ms", "time over bits", "over bits and binarise", "largest difference"]]
    for name, seconds in times.items():
        compared = name in ratios
        lines.append(
            [
                name,
                show(spread(seconds), 1e-3),
                show(ratios[name], digits=1) if compared else "",
                show(with_bits[name], digits=1) if compared else "",
                f"{apart[name]:.0e}" if compared else "",
            ]
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--neurons", type=int, default=NEURONS, help="of the layer")
    parser.add_argument("--sample", type=int, default=500, help="pairs for scikit-learn")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    activations = torch.randn(IMAGES, options.neurons, generator=torch.Generator().manual_seed(0))
    activations = activations.add_(0.5 * activations[:, :1]).relu_()
    first, second = bits.draw_pairs(options.neurons, PAIRS, np.random.default_rng(0))
    found = bits.binarise(activations)
    zeros_and_ones = (activations > activations.mean(dim=0)).numpy()
    sample = range(options.sample)

    def product() -> np.ndarray:
        dense = torch.from_numpy(zeros_and_ones).float()
        both = (dense.T @ dense).numpy()[first, second].astype(np.int64)
        return bits.information(IMAGES, found.ones[first], found.ones[second], both)

    def sklearn() -> list[float]:
        pairs = ((zeros_and_ones[:, first[i]], zeros_and_ones[:, second[i]]) for i in sample)
        return [normalized_mutual_info_score(one, other) for one, other in pairs]

    tasks = {
        "bits": lambda: bits.pair_information(found, first, second),
        "binarise": lambda: bits.binarise(activations),
        "product": product,
        "sklearn": sklearn,
    }
    own = tasks["bits"]()
    apart = {
        "sklearn": float(np.abs(own[: options.sample] - sklearn()).max()),
        "product": float(np.abs(own - product()).max()),
    }
    times = interleave(tasks, options.repeats, "cpu")
    times["sklearn"] = [seconds * PAIRS / options.sample for seconds in times["sklearn"]]
    whole = [a + b for a, b in zip(times["bits"], times["binarise"], strict=True)]
    ratios = {name: ratio(times[name], times["bits"]) for name in ("product", "sklearn")}
    with_bits = {name: ratio(times[name], whole) for name in ("product", "sklearn")}
    print(table(rows(times, ratios, with_bits, apart)))
    facts = {"images": IMAGES, "neurons": options.neurons, "pairs": PAIRS, **vars(options)}
    facts |= {"machine": machine("cpu"), "load": os.getloadavg()[0]}
    spreads = {name: spread(seconds) for name, seconds in times.items()}
    print(json.dumps({**facts, "seconds": spreads, "ratios": ratios, "apart": apart}))


if __name__ == "__main__":
    main()
