"""Time and memory of the analysis of classes at ImageNet's size.

25,000 validation and 25,000 test images, 1,000 classes, 11 λ, 2,000 bootstrap draws; then 50,000
test images. Simulated losses: a common curve, class effects, noise that
neighbouring λ share. Each size in a process of its own; memory is its peak, the predictions in it.

    python benchmarks/inference.py [--draws 2000] [--repeats 1]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import time

import numpy as np
from _common import machine, table

from cobaye.analyses import _sweeps, classes

CLASSES, LAMBDAS = 1000, 11
SIZES = {"25,000 val + 25,000 test": (25, 25), "25,000 val + 50,000 test": (25, 50)}


def sweep(val: int, test: int) -> _sweeps.Sweep:
    """Return simulated runs; val, test: images of each class. Of train, one image per class."""
    rng = np.random.default_rng(0)
    place = np.linspace(-1, 1, LAMBDAS)
    effect = 0.3 * place[:, None] ** 2 + 0.1 * place[:, None] * rng.standard_normal(CLASSES)
    splits = {}
    for name, images in (("train", 1), ("val", val), ("test", test)):
        labels = np.repeat(np.arange(CLASSES), images)
        level = rng.gamma(1, 1, len(labels)).astype(np.float32)
        noise = np.cumsum(0.1 * rng.standard_normal((LAMBDAS, len(labels)), np.float32), axis=0)
        loss = level * (1 + effect[:, labels].astype(np.float32) + noise)
        wrong = rng.random(loss.shape) < 0.25
        predicted = np.where(wrong, rng.integers(0, CLASSES, loss.shape), labels).astype(np.int32)
        splits[name] = _sweeps.Predictions(labels, loss[None], predicted[None])
    numbers = [f"{10.0**-power:g}" for power in range(LAMBDAS, 0, -1)]
    return _sweeps.Sweep(("linear", "sgd"), numbers, [0], splits)


def measure(val: int, test: int, draws: int, results: multiprocessing.Queue) -> None:
    of = sweep(val, test)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.perf_counter(), time.process_time()
    names = [f"class {number}" for number in range(CLASSES)]
    classes.tables([of], names, classes.Options(draws=draws), lambda row: None)
    seconds, busy = time.perf_counter() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results.put({"seconds": seconds, "cpu": busy, "peak": peak / 1024, "before": before / 1024})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    rows = [["images", "wall, s", "processor, s", "peak, MiB", "before, MiB"]]
    found = {}
    for name, (val, test) in SIZES.items():
        turns = []
        for _ in range(given.repeats):
            process = context.Process(target=measure, args=(val, test, given.draws, results))
            process.start()
            turns.append(results.get())
            process.join()
        found[name] = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        one = found[name]
        rows.append([name, *(f"{one[key]:.0f}" for key in ("seconds", "cpu", "peak", "before"))])
    print(table(rows))
    print(json.dumps({"machine": machine("cpu"), "draws": given.draws, "sizes": found}))


if __name__ == "__main__":
    main()
