"""The machine and the libraries behind a result, for run.json; what freed memory is kept."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

# Codes of glibc's mallopt, and bytes: up to so many, freed memory is kept for the next tensor.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30
# The largest MMAP_THRESHOLD that earlier versions of glibc take; refused, it stays at 128 KiB.
LARGEST_EARLIER = 1 << 25


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    packages = ["cobaye", "numpy", "pandas", "pyarrow", "safetensors", "torch", "torchvision"]
    numbers = {"python": platform.python_version()}
    for package in packages:
        try:
            numbers[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return numbers


def machine() -> dict[str, Any]:
    """Return the host, its processor, and the commit of this library (None outside its clone)."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": processor(),
        "commit": _commit(),
    }


def processor() -> str:
    """Return the processor's name as the kernel gives it, with family and model where known."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def _commit() -> str | None:
    """Return the commit of this library's sources, not of a repository that they only lie in."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensors of this process, not give it to the system.

    Else each step or batch allocates new pages, 0.6 µs for each 4 KiB: for a network on the CPU, up
    to a quarter of its time (benchmarks/README.md, feature_caching.py).
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if mallopt := getattr(libc, "mallopt", None):
        mallopt(MMAP_THRESHOLD, KEPT) or mallopt(MMAP_THRESHOLD, LARGEST_EARLIER)
        mallopt(TRIM_THRESHOLD, KEPT)
