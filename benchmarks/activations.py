"""Seconds and peak memory of the whole analysis `activations` of one network, VGG-16.

    python benchmarks/activations.py --width 1 --threads 1

Each size runs in a process of its own. The images are random blots, the network is untrained but
for its batch norm's means and variances: neither changes what is held, or how long it takes, by
much (active inputs are half of all). *images* is for everything: statistics, histograms, sizes; or,
with `--defaults`, 1,000 for statistics and 2,000 for histograms and sizes. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from _common import machine, table

from cobaye import recipes
from cobaye.analyses import _layer_numbers, activations
from cobaye.data.splits import Split
from cobaye.inside.neurons import bits, capture, similarity
from cobaye.models import networks

SHAPE, CLASSES, IMAGES = (3, 32, 32), 10, 40_000
# What is timed apart: names of functions, and what the table calls them.
PARTS = {
    "forward pass": [(capture, "_batched")],
    "bits, information": [(bits, "binarise"), (_layer_numbers, "information")],
    "clusters": [(_layer_numbers, "clusters")],
    "silhouette against size": [(_layer_numbers, "by_size")],
    "similarity": [(similarity, "directions"), (similarity, "svcca")],
}


def prepare(rows: torch.Tensor) -> torch.Tensor:
    return rows.float() / 64 - 2


def network(width: float, images: torch.Tensor) -> torch.nn.Module:
    network_built = networks.build(recipes.Kind("vgg16", {"width": width}), SHAPE, CLASSES)
    with torch.no_grad():
        for _ in range(20):
            network_built.train()(prepare(images[:64]))
    return network_built.eval()


@contextlib.contextmanager
def timed() -> Iterator[Counter[str]]:
    """Add up the processor's seconds of `PARTS`."""
    spent: Counter[str] = Counter()

    def timing(function: Callable, name: str) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            start = time.process_time()
            result = function(*arguments, **options)
            spent[name] += time.process_time() - start
            return result

        return call

    for name, functions in PARTS.items():
        for module, function in functions:
            setattr(module, function, timing(getattr(module, function), name))
    yield spent


def measure(width: float, options: activations.Options, threads: int) -> dict[str, object]:
    """Return seconds and peak memory of this process."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    blots = torch.rand(IMAGES // 10, SHAPE[0], 8, 8, generator=generator)
    blots = torch.nn.functional.interpolate(blots, SHAPE[1:], mode="bilinear")
    images = blots.mul_(255).byte().repeat(10, 1, 1, 1)
    del blots
    labels = torch.randint(CLASSES, (IMAGES,), generator=generator)
    own = network(width, images)
    run = SimpleNamespace(split=Split(images, labels, CLASSES, {}), forward=lambda: (own, prepare))
    before, wall, processor = peak(), time.perf_counter(), time.process_time()
    with timed() as spent:
        activations.inspect(run, options)
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "peak_mib": peak(),
        "before_mib": before,
        "parts": dict(spent),
    }


def peak() -> float:
    # Not getrusage: its maximum includes the parent's, at the moment of the fork.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, nargs="+", default=[0.125, 1.0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000])
    parser.add_argument("--defaults", action="store_true", help="also the options' defaults")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        setting = activations.Options(**json.loads(options.one))
        print(json.dumps(measure(options.width[0], setting, options.threads)))
        return
    settings = [
        dict.fromkeys(("images", "histogram_images", "sizes_images"), n) for n in options.images
    ]
    settings += [{}] * options.defaults
    rows, shown = (
        [],
        [["width", "images", "wall, s", "processor, s", "peak, MiB", "before", *PARTS]],
    )
    for width in options.width:
        for setting in settings:
            command = [
                sys.executable,
                __file__,
                "--one",
                json.dumps(setting),
                "--width",
                str(width),
            ]
            command += ["--threads", str(options.threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row = {"width": width, **setting, **json.loads(done.stdout.splitlines()[-1])}
            rows.append(row)
            images = str(setting.get("images", "defaults"))
            numbers = [row[name] for name in ("wall", "processor", "peak_mib", "before_mib")]
            parts = [f"{row['parts'][name]:.1f}" for name in PARTS]
            shown.append([str(width), images, *(f"{n:.0f}" for n in numbers), *parts])
    print(table(shown))
    facts = {"machine": machine("cpu"), "load": os.getloadavg()[0], "threads": options.threads}
    print(json.dumps({**facts, "rows": rows}))


if __name__ == "__main__":
    main()
