"""Images per second of caching penultimate features from JPEG files, against what limits it.

    python benchmarks/feature_caching.py [--models resnet18 resnet50] [--repeats 5]

On a CPU, decoding shares its cores with the forward pass, so the limit is
cores / (core-seconds to decode an image + core-seconds of its forward pass), both measured alone in
the same run, warm, at one thread, so that no thread waits for another. Also shown: a loop as most
people write it (DataLoader, forward hook, `torch.cat` per batch), whole, and peak memory. Ours is
timed whole too: the network's loading and the start of its processes included. The ratio to the
limit is given by the clock, and by seconds of the processor, which a busy machine changes less.
JPEGs are generated (500 × 375, quality 90: smooth shapes and noise), weights are random.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import machine, ratio, show, spread, table
from PIL import Image

from cobaye import recipes
from cobaye.data.normalization import normalization_of
from cobaye.features import caching, readers
from cobaye.models import backbones
from cobaye.models.networks import torchvision as zoo
from cobaye.storage import checkpoints, files, manifests, paths
from cobaye.storage.jobs import Job

RESIZE = {"resize": 256, "crop": 224, "interpolation": "bilinear"}
CACHING = {"batch_size": 32, "storage": "float32"}


def write_images(folder: Path, count: int) -> list[str]:
    """Write generated JPEGs of 500 × 375, quality 90; return their names."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    y, x = np.mgrid[0:375, 0:500] / 100
    names = [f"{number:05d}.jpg" for number in range(count)]
    for name in names:
        phase, pitch = generator.uniform(0, 6, (2, 3, 1, 1))
        waves = 127 + 90 * np.sin(pitch * x + phase) * np.cos(pitch * y - phase)
        noisy = waves + generator.normal(0, 12, waves.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / name, quality=90)
    return names


def prepare(root: Path, name: str, images: Path, names: list[str]) -> None:
    """Leave a dataset of files and a backbone in `root`, as the rules would."""
    folder = root / paths.DATASET.format(dataset="d")
    index = folder / "train/index.json"
    sha = files.write_json(index, {"root": str(images), "paths": names})
    made = {"train/index.json": manifests.describe(index, sha)}
    info = {"classes": 2, "shape": None, "form": "files"}
    manifests.Manifest("prepare_dataset", {"dataset": "d"}, {}, "", {}, made, info).write(
        folder / "manifest.json"
    )
    network = zoo.cut(zoo.create(name, num_classes=1000), name)
    constants = normalization_of(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), "none")
    path = root / "resources/backbones/b.safetensors"
    entry = checkpoints.save(path, {**network.state_dict(), **constants.tensors()})
    recipe, entries = {"model": recipes.plain(model_of(name))}, {path.name: entry}
    manifests.Manifest(
        "prepare_backbone", {"backbone": "b"}, recipe, "", {}, entries, {"resize": RESIZE}
    ).write(path.with_suffix(".json"))


def model_of(name: str) -> recipes.Kind:
    """Return the network's kind."""
    return recipes.Kind("torchvision", {"model": name})


def network_of(root: Path, name: str, device: str) -> backbones.Penultimate:
    """Return the backbone, as caching uses it."""
    tensors = backbones.load("b", root).tensors
    return backbones.Penultimate(model_of(name), tensors, (3, 224, 224)).to(device)


def ours(root: Path, name: str, precision: str, device: str, workers: int) -> None:
    """Cache one shard."""
    identity = {"dataset": "d", "backbone": "b", "split": "train", "shard": 0, "shards": 1}
    recipe = recipes.plain(recipes.Caching(precision=precision, **CACHING))
    job = Job("cache_features", identity, recipe, "", device=device, threads=workers, root=root)
    caching.cache_features(job)


def forward(root: Path, name: str, precision: str, device: str, count: int) -> Callable[[], None]:
    """Return the pass of resident images through the network, which has seen a batch before."""
    network = network_of(root, name, device)
    batch = torch.zeros(CACHING["batch_size"], 3, 224, 224, dtype=torch.uint8, device=device)
    enabled = precision != "float32"

    def run(images: int = count) -> None:
        with (
            torch.inference_mode(),
            torch.autocast(device, getattr(torch, precision), enabled=enabled),
        ):
            for start in range(0, images, len(batch)):
                network(batch[: images - start])

    run(2 * len(batch))
    return run


def decode(root: Path, count: int) -> None:
    """Decode, resize and crop every image in this process."""
    reader = readers.open_split("d", "train", RESIZE, root)
    for _ in reader.batches(range(count), CACHING["batch_size"], 0):
        pass


def plain(root: Path, name: str, device: str, workers: int) -> None:
    """Do as most people would."""
    network = zoo.create(name, num_classes=1000).eval().to(device)
    found = {}
    network.avgpool.register_forward_hook(lambda _, __, out: found.update(features=out.detach()))
    index = files.read_json(root / "resources/datasets/d/train/index.json")
    images = readers._Files(Path(index["root"]), index["paths"], RESIZE)
    loader = torch.utils.data.DataLoader(
        images, CACHING["batch_size"], num_workers=workers, collate_fn=readers._stacked
    )
    features = torch.empty(0)
    with torch.no_grad():
        for batch, *_ in loader:
            network(batch.to(device).float() / 255)
            features = torch.cat([features, found["features"].squeeze().cpu()])


def measure(arguments: argparse.Namespace) -> None:
    """Run one task in this process; print its seconds, core-seconds and peak memory."""
    root, task = arguments.root, arguments.task
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(arguments.threads)
    count = len(files.read_json(root / "resources/datasets/d/train/index.json")["paths"])
    if task == "forward":
        bare = forward(root, arguments.model, arguments.precision, device, count)
    run = {
        "ours": lambda: ours(root, arguments.model, arguments.precision, device, arguments.threads),
        "forward": lambda: bare(),
        "decode": lambda: decode(root, count),
        "plain": lambda: plain(root, arguments.model, device, arguments.threads),
    }[task]
    start, before = time.perf_counter(), os.times()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds, after = time.perf_counter() - start, os.times()
    cores = sum(after[:4]) - sum(before[:4])
    # Not getrusage: its maximum includes the parent's, at the moment of the fork.
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"images": count, "seconds": seconds, "cores": cores, "peak_mib": peak}))


def in_process(root: Path, task: str, model: str, precision: str, threads: int) -> dict[str, Any]:
    """Measure a task in a process of its own."""
    command = [sys.executable, __file__, "--root", str(root), "--task", task, "--model", model]
    command += ["--precision", precision, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(
    model: str, precision: str, images: Path, names: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Measure all tasks in turns: ours with all images, the others with a share of them."""
    threads, share = options.threads, names[: max(32, len(names) // 8)]
    runs: dict[str, list[dict[str, Any]]] = {"decode": [], "forward": [], "plain": [], "ours": []}
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        prepare(Path(small), model, images, share)
        prepare(Path(large), model, images, names)
        for _ in range(options.repeats):
            for task, found in runs.items():
                root = Path(large if task == "ours" else small)
                used = 1 if task in ("decode", "forward") else threads
                found.append(in_process(root, task, model, precision, used))
    each = {task: [run["cores"] / run["images"] for run in found] for task, found in runs.items()}
    limits = [threads / (a + b) for a, b in zip(each["decode"], each["forward"], strict=True)]
    rates = {task: [one["images"] / one["seconds"] for one in runs[task]] for task in runs}
    by_processor = [threads / one for one in each["ours"]]
    return {
        "model": model,
        "precision": precision,
        "images": len(names),
        "decode_per_core": spread([1 / one for one in each["decode"]]),
        "forward_per_core": spread([1 / one for one in each["forward"]]),
        "images_per_s": {task: spread(rates[task]) for task in ("plain", "ours")},
        "limit": spread(limits),
        "ours_over_limit": ratio(rates["ours"], limits),
        "by_processor": ratio(by_processor, limits),
        "ours_over_plain": ratio(rates["ours"], rates["plain"]),
        "peak_mib": {task: max(run["peak_mib"] for run in found) for task, found in runs.items()},
    }


def row(found: dict[str, Any]) -> list[str]:
    """Return a line of the table."""
    rate, shown = found["images_per_s"], (found["decode_per_core"], found["forward_per_core"])
    return [
        f"{found['model']}, {found['precision']}",
        *(show(one, digits=1) for one in (*shown, rate["plain"], rate["ours"], found["limit"])),
        *(show(found[key]) for key in ("ours_over_limit", "by_processor", "ours_over_plain")),
        f"{found['peak_mib']['ours']:.0f}",
    ]


def main() -> None:
    """Measure, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=["resnet18"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    for hidden in ("--task", "--model", "--precision"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        measure(options)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        names = write_images(images, options.images)
        results = [
            compare(model, precision, images, names, options)
            for model in options.models
            for precision in options.precisions
        ]
    heading = ["network", "decode, a core", "forward, a core", "plain", "ours", "limit"]
    heading += ["ours/limit", "by processor", "ours/plain", "peak MiB"]
    print(f"images/s, median (min–max) of {options.repeats} turns; {options.images} images\n")
    print(table([heading, *map(row, results)]) + "\n")
    facts = {"machine": machine(device), "threads": options.threads, "repeats": options.repeats}
    print(json.dumps({**facts, "results": results}))


if __name__ == "__main__":
    main()
