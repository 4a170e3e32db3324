"""What the benchmarks share: the library on the path, the machine, fair repeats, and a table."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from cobaye.storage.machine import processor


def machine(device: str) -> dict[str, str | int]:
    """Name what a figure was measured on."""
    facts = {"cpu": processor(), "cores": os.cpu_count(), "torch": torch.__version__}
    if device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def interleave(
    tasks: Mapping[str, Callable[[], object]], repeats: int, device: str, *, warm: bool = True
) -> dict[str, list[float]]:
    """Time each task ``repeats`` times, in seconds: all of them once, then all of them again.

    Taking turns lets a slow minute of the machine fall on all tasks alike; compare them by the
    ratios within each turn. Where `warm`, one turn before the first is not timed.
    """
    times = {name: [] for name in tasks}
    for turn in range(repeats + warm):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn or not warm:
                times[name].append(time.perf_counter() - start)
    return times


def spread(values: list[float]) -> dict[str, float]:
    """Return median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(numerator: list[float], denominator: list[float]) -> dict[str, float]:
    """Return the spread of the ratios of paired times."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def show(value: dict[str, float], unit: float = 1.0, digits: int = 2) -> str:
    """Return ``median (min–max)`` of a spread, in units of ``unit``."""
    median, low, high = (f"{value[key] / unit:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({low}–{high})"


def table(rows: list[list[str]]) -> str:
    """Return rows, the first of them the heading, as an aligned Markdown table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (n + 2) for n in widths) + "|", *lines[1:]])
