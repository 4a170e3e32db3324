"""Images per second of caching penultimate features from JPEG files, against what limits it.

On a CPU, decoding shares its cores with the forward pass, so the limit is
cores / (core-seconds to decode an image + core-seconds of its forward pass), both measured alone in
the same run. Also shown: the bare forward pass on resident tensors, a loop as most people write it
(DataLoader, forward hook, `torch.cat` per batch), and peak memory at n and 4 n images. Decoding and
forward pass are timed warm; ours and the loop whole, the network's loading included. JPEGs are
generated (500 × 375, quality 90: smooth shapes and noise), weights are random.
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
from _common import machine, show, spread, table
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


def prepare(root: Path, name: str, count: int) -> None:
    """Leave a dataset of files and a backbone in `root`, as the rules would."""
    names = write_images(root / "images", count)
    folder = root / paths.DATASET.format(dataset="d")
    index = folder / "train/index.json"
    sha = files.write_json(index, {"root": str(root / "images"), "paths": names})
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
        for batch, _ in loader:
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


def compare(model: str, precision: str, images: int, repeats: int, threads: int) -> dict[str, Any]:
    """Measure all tasks in turns, at n images, and ours at 4 n."""
    tasks = ("decode", "forward", "ours", "plain")
    runs: dict[str, list[dict[str, Any]]] = {task: [] for task in (*tasks, "ours, 4 n")}
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        prepare(Path(small), model, images)
        prepare(Path(large), model, 4 * images)
        for _ in range(repeats):
            for task in tasks:
                runs[task].append(in_process(Path(small), task, model, precision, threads))
            runs["ours, 4 n"].append(in_process(Path(large), "ours", model, precision, threads))
    rates = {
        task: [run["images"] / run["seconds"] for run in found] for task, found in runs.items()
    }
    limits = [
        threads * images / (a["cores"] + b["cores"])
        for a, b in zip(runs["decode"], runs["forward"], strict=True)
    ]
    return {
        "model": model,
        "precision": precision,
        "images": images,
        "images_per_s": {task: spread(values) for task, values in rates.items()},
        "limit": spread(limits),
        "ours_over_forward": spread(
            [a / b for a, b in zip(rates["ours, 4 n"], rates["forward"], strict=True)]
        ),
        "ours_over_limit": spread([a / b for a, b in zip(rates["ours, 4 n"], limits, strict=True)]),
        "peak_mib": {task: max(run["peak_mib"] for run in found) for task, found in runs.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=128, help="n")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
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
    results = [
        compare(model, precision, options.images, options.repeats, options.threads)
        for model in options.models
        for precision in options.precisions
    ]
    heading = ["network", "precision", "decode", "forward", "plain", "ours", "ours, 4 n"]
    rows = [[*heading, "limit", "ours 4 n/limit", "ours 4 n/forward", "peak MiB n → 4 n"]]
    for found in results:
        rate = found["images_per_s"]
        peaks = found["peak_mib"]
        rows.append(
            [
                found["model"],
                found["precision"],
                *(show(rate[task], digits=1) for task in heading[2:]),
                show(found["limit"], digits=1),
                show(found["ours_over_limit"]),
                show(found["ours_over_forward"]),
                f"{peaks['ours']:.0f} → {peaks['ours, 4 n']:.0f}",
            ]
        )
    print(
        f"images/s, median (min–max) of {options.repeats} turns; n = {options.images}, {device}\n"
    )
    print(table(rows) + "\n")
    print(
        json.dumps(
            {
                "machine": machine(device),
                "threads": options.threads,
                "repeats": options.repeats,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()
