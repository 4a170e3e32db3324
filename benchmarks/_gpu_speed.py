"""The parts of `gpu.py` that time: the sweep, a step's launches, caching features."""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from _common import show, spread
from imagenet_sweep import DECAYS, EPOCHS, alone, together
from torch.profiler import ProfilerActivity, profile

from cobaye import recipes
from cobaye.data.normalization import normalization_of
from cobaye.features import caching, readers
from cobaye.models import backbones, networks

# Minutes that the sweep may take, by a part of the GPU's name.
GOALS = {"H200": 5, "H100": 10}


class Row(NamedTuple):
    """A row of the table. held: None where there is no goal."""

    what: str
    measured: str
    beside: str
    goal: str = "–"
    held: bool | None = None


def seconds(task: Callable[[], object], repeats: int, device: str) -> list[float]:
    """Time a task, after a turn that is not timed."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        task()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[1:]


def shape(device: str, small: bool, images: int) -> argparse.Namespace:
    """Return ImageNet's sizes, or toy sizes, as `imagenet_sweep` takes them."""
    sizes = {"images": images, "features": 2_048, "classes": 1_000, "batch": 256}
    if small:
        sizes = {"images": 500, "features": 32, "classes": 10, "batch": 64}
    return argparse.Namespace(**sizes, device=device, shuffle="full")


def generated(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (N, D) float16 around one centre per class, and labels, on the device."""
    generator = torch.Generator(args.device).manual_seed(0)
    kind = {"generator": generator, "device": args.device}
    labels = torch.arange(args.images, device=args.device) % args.classes
    centres = torch.randn(args.classes, args.features, **kind)
    inputs = torch.empty(args.images, args.features, dtype=torch.float16, device=args.device)
    for part, own in zip(inputs.split(65_536), labels.split(65_536), strict=True):
        part.copy_(torch.randn(part.shape, **kind).add_(centres[own]))
    return inputs, labels


def sweep(device: str, small: bool) -> Iterator[Row]:
    """Time epochs of the sweep over λ at ImageNet's size."""
    args = shape(device, small, 1_281_167)
    data = generated(args)
    by_one = seconds(alone(*data, True, args), 2, device)
    each = show(spread(by_one), digits=3) + " s per epoch and λ"
    beside = f"{np.median(by_one) * len(DECAYS) * EPOCHS / 60:.2f} min one λ at a time"
    yield Row("sweep, one λ at a time, bfloat16", each, "–")
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    goal = next((minutes for key, minutes in GOALS.items() if key in name), None)
    for replay, how in ((False, "call by call"), (True, "as a graph")):
        times = seconds(together(*data, True, args, replay=replay), 3, device)
        minutes = np.median(times) * EPOCHS / 60
        measured = (
            f"{minutes:.2f} min for {EPOCHS} epochs, scaled; {show(spread(times), digits=3)} s each"
        )
        held = None if small or goal is None or not replay else bool(minutes <= goal)
        aim = f"≤ {goal} min" if goal and replay else "–"
        yield Row(f"sweep, {len(DECAYS)} λ together, {how}", measured, beside, aim, held)


def launches(device: str, small: bool) -> Iterator[Row]:
    """Time a step by the clock, beside its kernels: launches bound it if these take less."""
    args = shape(device, small, 256 * 200)
    data, steps = generated(args), -(-args.images // args.batch)
    cuda = device == "cuda"
    for replay, how in ((False, "call by call"), (True, "as a graph")):
        epoch = together(*data, True, args, replay=replay)
        clock = np.median(seconds(epoch, 3, device)) / steps
        activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
        with profile(activities=[activity], acc_events=True) as seen:
            epoch()
            if cuda:
                torch.cuda.synchronize()
        kind = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
        found = [event for event in seen.key_averages() if event.device_type == kind]
        unit = "self_device_time_total" if cuda else "self_cpu_time_total"
        busy = sum(getattr(event, unit) for event in found) / 1e6 / steps
        count = sum(event.count for event in found) / steps
        measured = f"{clock * 1e3:.3f} ms by the clock"
        beside = f"{busy * 1e3:.3f} ms in {count:.0f} {'kernels' if cuda else 'operators'}"
        held = bool(busy >= 0.9 * clock) if cuda and replay else None
        aim = "kernels ≥ 90 %" if replay else "–"
        yield Row(f"a step of {len(DECAYS)} λ, {how}", measured, beside, aim, held)


def features(device: str, small: bool) -> Iterator[Row]:
    """Cache features of decoded images by ResNet-50, beside its bare forward pass."""
    name, side, count, batch = ("resnet18", 32, 24, 8) if small else ("resnet50", 224, 8_192, 256)
    kind = recipes.Kind("torchvision", {"model": name})
    pixels = torch.randint(256, (batch, 3, side, side), dtype=torch.uint8)
    tensors = networks.build(kind, (3, side, side), 1_000).state_dict()
    tensors |= normalization_of(pixels, "channel").tensors()
    model = backbones.Penultimate(kind, tensors, (3, side, side)).to(device)
    recipe = recipes.Caching(batch, "bfloat16", "float16")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        size = (count, 3, side, side)
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)
        for start in range(0, count, batch):
            rows[start : start + batch] = pixels.numpy()
        to = Path(folder) / "features.npy"
        write = (model, readers.ArrayReader(path, None), range(count), recipe, to, device, 0)
        ours = [count / t for t in seconds(lambda: caching._write_features(*write), 2, device)]
    resident, half = pixels.to(device), copy.deepcopy(model.network).to(torch.bfloat16)
    ready = resident.to(torch.bfloat16, memory_format=torch.channels_last)
    with torch.inference_mode():
        with torch.autocast(device, torch.bfloat16):
            cast = seconds(lambda: [model(resident) for _ in range(count // batch)], 2, device)
        bare = seconds(lambda: [half(ready) for _ in range(count // batch)], 2, device)
    cast, bare = ([count / t for t in times] for times in (cast, bare))
    beside = f"{show(spread(cast), digits=0)} forward; {show(spread(bare), digits=0)} all bfloat16"
    held = None if small else bool(np.median(ours) >= 0.95 * np.median(cast))
    measured = show(spread(ours), digits=0) + " images/s"
    yield Row(f"{name}, caching in bfloat16", measured, beside, "≥ 95 % of forward", held)
