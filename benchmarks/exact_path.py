"""Time the exact optima of ten λ, one after another, against scikit-learn's.

    python benchmarks/exact_path.py --threads 1 --repeats 1

    cobaye        Newton-CG in float64 with Hessian products in float32, each λ from where the
                  optima of the (up to three) larger ones point to
    scikit-learn  LogisticRegression(solver="lbfgs"), C = 1/(λN), cold, as it is called, in float64

Both minimise one objective: a constant column stands for the bias in both, and is penalised. Both
stop at ‖∇J‖₂ ≤ 1e-6. scikit-learn stops by the largest entry of the gradient instead, so it is
given, for each λ, the largest entry at the first step whose norm is small enough, found by running
it once before, untimed. That run also shows where its own second rule (a relative fall of J below
64 machine epsilons) would stop it earlier: it is then timed to there, and the norm is printed.

Data: features of glyphs where results/ holds them, else Gaussian classes of like difficulty. The
last line is all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.optimize
import torch
from _common import machine, table
from sklearn._loss.loss import HalfMultinomialLoss
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss
from threadpoolctl import threadpool_limits

from cobaye.objective import solvers
from cobaye.objective.full_batch import FullBatch

LAMBDAS = (1e-2, 3.162e-3, 1e-3, 3.162e-4, 1e-4, 3.162e-5, 1e-5, 3.162e-6, 1e-6, 1e-7)
N, D, K = 12_000, 256, 200
NORM = 1e-6
GLYPHS = Path("results/features/glyphs/glyphs-resnet-small/train")


def data() -> tuple[str, np.ndarray, np.ndarray]:
    """Return where they come from, features (N, D) float32 and labels (N,) int64."""
    shard = GLYPHS / "shard-00-of-01.npy"
    if shard.exists():
        return "glyphs", np.load(shard), np.load(GLYPHS / "labels.npy")
    rng = np.random.default_rng(0)
    labels = np.arange(N) % K
    mixing = rng.normal(size=(D, D)) * np.geomspace(1, 0.02, D)
    noise = rng.normal(size=(N, D))
    inputs = np.maximum((0.35 * rng.normal(size=(K, D))[labels] + noise) @ mixing.T / 4 + 0.5, 0)
    return "generated", inputs.astype(np.float32), labels


def rule(inputs: np.ndarray, labels: np.ndarray, decay: float) -> tuple[float, float, int, float]:
    """Return the tolerance that stops scikit-learn where ours stops; norm, evaluations and J."""
    loss = LinearModelLoss(base_loss=HalfMultinomialLoss(n_classes=K), fit_intercept=False)
    seen: list[tuple[float, float, float]] = []

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss.loss_gradient(
            theta, inputs, labels.astype(np.float64), l2_reg_strength=decay
        )
        seen.append((np.linalg.norm(gradient), np.abs(gradient).max(), value))
        return value, gradient

    def callback(_: np.ndarray) -> None:
        if seen[-1][0] <= NORM:
            raise StopIteration

    scipy.optimize.minimize(
        function,
        np.zeros(K * inputs.shape[1]),
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={"maxiter": 20_000, "maxfun": 40_000, "maxls": 50, "gtol": 0.0}
        | {"ftol": 64 * np.finfo(float).eps},
    )
    norm, largest, value = seen[-1]
    return largest * (1 + 1e-12), norm, len(seen), value


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


def cobaye(inputs: torch.Tensor, labels: torch.Tensor, count: int) -> list[dict[str, float]]:
    """Solve for the first `count` λ; return seconds, passes and J of each λ."""
    optima, solved = [(1.0, torch.zeros(K, inputs.shape[1] + 1))], []
    for decay in LAMBDAS[:count]:
        start = time.perf_counter()
        theta = extrapolate(optima, decay)
        solution = solvers.minimize(FullBatch(inputs, labels, K, decay), theta, NORM)
        seconds = time.perf_counter() - start
        optima = [*(optima if solved else []), (decay, solution.theta)]
        assert solution.stopped == solvers.REACHED, solution.stopped
        solved.append(
            {"seconds": seconds, "passes": solution.passes, "objective": solution.point.value}
        )
    return solved


def scikit_learn(inputs: np.ndarray, labels: np.ndarray, decay: float, tolerance: float) -> float:
    """Return the seconds of one fit."""
    model = LogisticRegression(
        C=1 / (decay * len(labels)), tol=tolerance, max_iter=20_000, fit_intercept=False
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, labels)
    return time.perf_counter() - start


def rows(rules: list[tuple], turns: list[dict]) -> list[list[str]]:
    """Return the lines of the table, a λ each, medians over the turns."""
    lines = [
        [
            "λ",
            "cobaye, s",
            "passes",
            "scikit-learn, s",
            "evaluations",
            "its ‖∇J‖",
            "ratio",
            "J apart",
        ]
    ]
    for number, (_, norm, evaluations, value) in enumerate(rules):
        own = [turn["cobaye"][number]["seconds"] for turn in turns]
        their = [turn["scikit_learn"][number] for turn in turns]
        last = turns[-1]["cobaye"][number]
        lines.append(
            [
                f"{LAMBDAS[number]:g}",
                f"{np.median(own):.2f}",
                str(last["passes"]),
                f"{np.median(their):.2f}",
                str(evaluations),
                f"{norm:.1e}",
                f"{np.median(np.divide(their, own)):.1f}",
                f"{(value - last['objective']) / value:.0e}",
            ]
        )
    return lines


def main() -> None:
    """Measure, print the table, then the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--lambdas", type=int, default=len(LAMBDAS), help="only the first n")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source, features, labels = data()
    inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
    with_constant = np.c_[features, np.ones(len(features))].astype(np.float64)
    with threadpool_limits(given.threads):
        rules = [rule(with_constant, labels, decay) for decay in LAMBDAS[: given.lambdas]]
        turns = []
        for _ in range(given.repeats):
            ours = cobaye(inputs, targets, given.lambdas)
            theirs = [
                scikit_learn(with_constant, labels, decay, rule_of_decay[0])
                for decay, rule_of_decay in zip(LAMBDAS, rules, strict=False)
            ]
            turns.append({"cobaye": ours, "scikit_learn": theirs})
    count = len(rules)
    ratios = [
        sum(turn["scikit_learn"]) / sum(each["seconds"] for each in turn["cobaye"][:count])
        for turn in turns
    ]
    print(table(rows(rules, turns)))
    together = f"{np.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
    print(f"\n{source}, {count} λ together: {together}")
    facts = {"data": source, "threads": given.threads, "machine": machine("cpu")}
    print(json.dumps({**facts, "rules": rules, "turns": turns, "ratios": ratios}))


if __name__ == "__main__":
    main()
