"""Time the exact optima of a path of λ, and of single problems by size, against other solvers.

    python benchmarks/exact_path.py [--long] [--repeats 5]

    cobaye            Newton's method, preconditioned, in float64 with Hessian products in float32;
                      starts where the optima of the (up to three) larger λ point to
    scikit-learn      what LogisticRegression(solver="lbfgs") calls: its loss in SciPy's L-BFGS-B,
                      float64; starts at the optimum of the last λ, as with warm_start
    torch             torch.optim.LBFGS with a strong Wolfe search and autograd, float64; likewise
    newton-cholesky   LogisticRegression(solver="newton-cholesky"), from 0, where its Hessian of
                      (K·D)² numbers takes at most CHOLESKY bytes

All minimise one objective: a constant column stands for the bias, and is penalised. All stop at the
first point with ‖∇J‖₂ ≤ 1e-6, which bounds J − min J by ‖∇J‖² / (2λ). Times are seconds of the
processor, one thread. The path: features of glyphs where results/ holds them, else Gaussian classes
of like difficulty, 4,000 images and four λ (--long: 12,000 and ten). Sizes: Gaussian classes, at
λ = 1e-4 from 0, each solver in its own process. The last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _common import machine, show, spread, table
from _solvers import NORM, OTHERS
from threadpoolctl import threadpool_limits

from cobaye.objective import solvers
from cobaye.objective.full_batch import FullBatch

SHORT = (1e-2, 1e-3, 1e-4, 1e-5)
LONG = (1e-2, 3.162e-3, 1e-3, 3.162e-4, 1e-4, 3.162e-5, 1e-5, 3.162e-6, 1e-6, 1e-7)
CHOLESKY = 2**26
GLYPHS = Path("results/features/glyphs/glyphs-resnet-small/train")
SIZES = [(2000, 64, 20), (8000, 64, 20), (2000, 256, 20), (2000, 64, 80), (32000, 64, 20)]
MORE = [(2000, 1024, 20), (2000, 64, 320), (20000, 512, 200), (20000, 2048, 1000)]


def generated(images: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) float32 and labels (N,) int64 of Gaussian classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    mixing = rng.normal(size=(width, width)) * np.geomspace(1, 0.02, width) / math.sqrt(width)
    centres = 0.35 * rng.normal(size=(classes, width))
    noisy = centres[labels] + rng.normal(size=(images, width))
    return np.maximum(4 * noisy @ mixing.T + 0.5, 0).astype(np.float32), labels


def glyphs(images: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Return where they come from, features (N, D) float32 and labels (N,) int64."""
    if not GLYPHS.exists():
        return "generated", *generated(images, 256, 200)
    features, labels = np.load(GLYPHS / "shard-00-of-01.npy"), np.load(GLYPHS / "labels.npy")
    chosen = np.random.default_rng(0).permutation(len(labels))[:images]
    return "glyphs", features[chosen], labels[chosen]


def extrapolate(optima: Sequence[tuple[float, torch.Tensor]], decay: float) -> torch.Tensor:
    """Return a start at λ: a parabola in log λ through the last three optima (a line through two).

    optima: (λ, θ) in the order of the path, at least one.
    """
    places = [math.log(known) for known, _ in optima[-3:]]
    target, start = math.log(decay), torch.zeros_like(optima[-1][1])
    for place, (_, theta) in zip(places, optima[-3:], strict=True):
        others = [other for other in places if other != place]
        start += theta * math.prod((target - other) / (place - other) for other in others)
    return start


def cobaye(features: np.ndarray, labels: np.ndarray, decays: Sequence[float], classes: int) -> list:
    """Return seconds, passes, θ of each λ."""
    inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
    optima: list[tuple[float, torch.Tensor]] = []
    solved = []
    for decay in decays:
        begun = time.process_time()
        zeros = torch.zeros(classes, inputs.shape[1] + 1)
        start = extrapolate(optima, decay) if optima else zeros
        found = solvers.minimize(FullBatch(inputs, targets, classes, decay), start, NORM)
        solved.append((time.process_time() - begun, found.passes, found.theta.numpy()))
        optima.append((decay, found.theta))
    return solved


def path(decays: Sequence[float], images: int, repeats: int) -> dict[str, object]:
    """Return per solver, turn and λ: seconds, visits and the norm of the gradient in the end."""
    source, features, labels = glyphs(images)
    inputs, classes = with_constant(features), int(labels.max()) + 1
    found: dict[str, list] = {"cobaye": [], "scikit-learn": [], "torch": []}
    for _ in range(repeats):
        own = cobaye(features, labels, decays, classes)
        found["cobaye"].append(certified(own, features, labels, decays))
        for name in ("scikit-learn", "torch"):
            theta, solved = np.zeros((classes, inputs.shape[1])), []
            for decay in decays:
                begun = time.process_time()
                theta, visits = OTHERS[name](inputs, labels, decay, theta)
                solved.append((time.process_time() - begun, visits, theta))
            found[name].append(certified(solved, features, labels, decays))
    return {"data": source, "images": len(labels), "lambdas": decays, "solvers": found}


def certified(
    solved: list, features: np.ndarray, labels: np.ndarray, decays: Sequence[float]
) -> list[tuple[float, int, float]]:
    """Return seconds, visits and ‖∇J‖ in float64 at each θ."""
    inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
    return [
        (seconds, visits, gradient_norm(inputs, targets, decay, theta))
        for (seconds, visits, theta), decay in zip(solved, decays, strict=True)
    ]


def gradient_norm(x: torch.Tensor, y: torch.Tensor, decay: float, theta: np.ndarray) -> float:
    function = FullBatch(x, y, len(theta), decay)
    return function.evaluate(torch.tensor(np.ascontiguousarray(theta))).gradient_norm


def with_constant(features: np.ndarray) -> np.ndarray:
    return np.c_[features, np.ones(len(features))].astype(np.float64)


def path_rows(found: dict[str, object]) -> list[list[str]]:
    """Return the lines of the path's table, medians over the turns."""
    names = list(found["solvers"])
    rows = [
        ["λ", *(f"{name}, s (passes; ‖∇J‖)" for name in names), *(f"{n}/cobaye" for n in names[1:])]
    ]
    for number, decay in enumerate(found["lambdas"]):
        each = {name: [turn[number] for turn in found["solvers"][name]] for name in names}
        seconds = {name: statistics.median(one[0] for one in each[name]) for name in names}
        shown = [f"{seconds[n]:.2f} ({each[n][0][1]}; {each[n][0][2]:.0e})" for n in names]
        ratios = [f"{seconds[name] / seconds['cobaye']:.1f}" for name in names[1:]]
        rows.append([f"{decay:g}", *shown, *ratios])
    totals = {n: [sum(one[0] for one in turn) for turn in found["solvers"][n]] for n in names}
    ratios = [
        show(spread([a / b for a, b in zip(totals[n], totals["cobaye"], strict=True)]), digits=1)
        for n in names[1:]
    ]
    return [*rows, ["all", *(show(spread(totals[n]), digits=1) for n in names), *ratios]]


def alone(name: str, size: Sequence[int]) -> None:
    """Solve one generated problem in this process; print seconds, visits, norm and peak memory."""
    features, labels = generated(*size)
    decay, classes = 1e-4, size[2]
    inputs = None if name == "cobaye" else with_constant(features)
    begun = time.process_time()
    if name == "cobaye":
        seconds, visits, theta = cobaye(features, labels, [decay], classes)[0]
    else:
        theta, visits = OTHERS[name](inputs, labels, decay, np.zeros((classes, size[1] + 1)))
        seconds = time.process_time() - begun
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    norm = gradient_norm(x, y, decay, theta)
    print(json.dumps({"seconds": seconds, "visits": visits, "norm": norm, "peak_mib": peak}))


def by_size(sizes: Sequence[Sequence[int]]) -> list[dict[str, object]]:
    """Return what each solver took for each size, each in its own process."""
    found = []
    for images, width, classes in sizes:
        for name in ("cobaye", *OTHERS):
            if name == "newton-cholesky" and 8 * (classes * (width + 1)) ** 2 > CHOLESKY:
                continue
            size = [str(number) for number in (images, width, classes)]
            command = [sys.executable, __file__, "--alone", name, "--size", *size]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures = json.loads(done.stdout.splitlines()[-1])
            found.append({"size": (images, width, classes), "solver": name, **figures})
    return found


def size_rows(found: list[dict[str, object]]) -> list[list[str]]:
    """Return the lines of the table of sizes."""
    solvers_shown = ("cobaye", *OTHERS)
    rows = [["N × D, K", *(f"{name}, s (‖∇J‖; MiB)" for name in solvers_shown)]]
    for size in dict.fromkeys(tuple(one["size"]) for one in found):
        here = {one["solver"]: one for one in found if tuple(one["size"]) == size}
        cells = [
            f"{here[n]['seconds']:.2f} ({here[n]['norm']:.0e}; {here[n]['peak_mib']:.0f})"
            if n in here
            else "–"
            for n in solvers_shown
        ]
        rows.append([f"{size[0]} × {size[1]}, {size[2]}", *cells])
    return rows


def draw(found: list[dict[str, object]], target: Path) -> None:
    """Draw seconds and memory against N, D and K, the other two as in the first size."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, 3, figsize=(9, 5), sharex="col", sharey="row", layout="constrained"
    )
    for place, column in enumerate(axes.T):
        others = [i for i in range(3) if i != place]
        here = [one for one in found if all(one["size"][i] == SIZES[0][i] for i in others)]
        for name, marker in zip(("cobaye", *OTHERS), "osD^", strict=True):
            mine = [one for one in here if one["solver"] == name]
            for axis, key in zip(column, ("seconds", "peak_mib"), strict=True):
                numbers = [one["size"][place] for one in mine]
                axis.semilogx(numbers, [one[key] for one in mine], f"{marker}-", label=name)
        shown = sorted({one["size"][place] for one in here})
        column[1].set_xlabel(("images N", "features D", "classes K")[place])
        column[1].set_xticks(shown, [f"{number:,}" for number in shown])
        column[1].minorticks_off()
    axes[0, 0].set(yscale="log", ylabel="processor time, s")
    axes[1, 0].set(ylim=(0, None), ylabel="peak memory, MiB")
    axes[1, 1].legend(loc="lower left")
    figure.savefig(target)


def main() -> None:
    """Measure, print the tables, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="12,000 images, ten λ, larger sizes")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--figure", type=Path, help="draw times and memory by size to this file")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)  # of NumPy, SciPy and scikit-learn
    if given.alone:
        alone(given.alone, given.size)
        return
    along = path(LONG if given.long else SHORT, 12_000 if given.long else 4000, given.repeats)
    print(f"{along['data']}, {along['images']} images\n\n{table(path_rows(along))}\n")
    sizes = by_size(SIZES + MORE if given.long else SIZES)
    print(table(size_rows(sizes)) + "\n")
    if given.figure:
        draw(sizes, given.figure)
    print(json.dumps({"machine": machine("cpu"), "path": along, "sizes": sizes}))


if __name__ == "__main__":
    main()
