"""Peak memory of caching features, at N and 4 N images: it must not grow with N.

Each size runs in processes of its own, so that one's peak is not the other's. The images are
random, the backbone untrained: neither changes what is held in memory. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _common import machine, table

from cobaye import recipes
from cobaye.data import datasets
from cobaye.data.normalization import normalization_of
from cobaye.features import caching
from cobaye.models import networks
from cobaye.storage import checkpoints, manifests, paths
from cobaye.storage.jobs import Job

MODEL = recipes.Kind("resnet-small", {})
SIZE = 32


def prepare(root: Path, images: int) -> None:
    """Write a dataset of random images and an untrained backbone, as the rules would."""
    generator = np.random.default_rng(0)
    counts = {"train": images, "val": 1, "test": 1}
    prepared = datasets.Prepared(
        [{"name": "0"}, {"name": "1"}],
        {
            split: (
                generator.integers(0, 256, (n, 1, SIZE, SIZE), dtype=np.uint8),
                generator.integers(0, 2, n),
            )
            for split, n in counts.items()
        },
    )
    folder = root / paths.DATASET.format(dataset="d")
    made = datasets.write(prepared, folder)
    info = {"classes": 2, "shape": [1, SIZE, SIZE], "form": "images"}
    manifest = manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info)
    manifest.write(folder / "manifest.json")
    network = networks.build(MODEL, (1, SIZE, SIZE), 2)
    constants = normalization_of(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), "global")
    path = root / "resources/backbones/b.safetensors"
    entry = checkpoints.save(path, {**network.state_dict(), **constants.tensors()})
    recipe = {"model": recipes.plain(MODEL)}
    backbone = manifests.Manifest(
        "prepare_backbone", {"backbone": "b"}, recipe, "", {}, {path.name: entry}, {"resize": None}
    )
    backbone.write(path.with_suffix(".json"))


def cache(root: Path) -> None:
    """Cache the training split and print seconds and peak memory of this process."""
    identity = {"dataset": "d", "backbone": "b", "split": "train", "shard": 0, "shards": 1}
    start = time.perf_counter()
    recipe = recipes.plain(recipes.Caching(256, "float32", "float32"))
    caching.cache_features(Job("cache_features", identity, recipe, "", root=root))
    seconds = time.perf_counter() - start
    # Not getrusage: its maximum includes the parent's, at the moment of the fork.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def measure(images: int) -> dict[str, float]:
    """Return what caching so many images takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), images)
        command = [sys.executable, __file__, "--cache", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"images": images, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="N")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cache:
        cache(options.cache)
        return
    rows = []
    for images in (options.images, 4 * options.images):
        runs = [measure(images) for _ in range(options.repeats)]
        peaks = sorted(run["peak_mib"] for run in runs)
        seconds = sorted(run["seconds"] for run in runs)
        rows.append(
            {
                "images": images,
                "peak_mib": peaks[len(peaks) // 2],
                "peak_mib_max": peaks[-1],
                "images_per_s": images / seconds[len(seconds) // 2],
            }
        )
    ratio = rows[1]["peak_mib"] / rows[0]["peak_mib"]
    print(table([list(rows[0]), *([f"{value:.0f}" for value in row.values()] for row in rows)]))
    print(f"peak at 4 N over peak at N: {ratio:.3f}, median of {options.repeats} processes each\n")
    print(
        json.dumps(
            {
                "machine": machine("cpu"),
                "threads": torch.get_num_threads(),
                "repeats": options.repeats,
                "rows": rows,
                "ratio": ratio,
            }
        )
    )


if __name__ == "__main__":
    main()
