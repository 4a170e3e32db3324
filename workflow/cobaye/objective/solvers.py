"""Minimisers of a convex function: truncated Newton and L-BFGS; why they stopped is data.

Newton-CG (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.1): each step solves
H d = −∇J by conjugate gradients to a relative residual of min(½, √‖∇J‖), but never further than
what the gradient norm that is asked for needs. L-BFGS: their algorithm 7.4, 20 pairs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.objective.full_batch import FullBatch, Point

REACHED = "gradient norm reached"
LIMIT = "max_iterations reached"
STUCK = "no further progress at this precision"
# A step counts if J falls by this share of what its slope promises (Nocedal & Wright, eq. 3.4).
ARMIJO = 1e-4
PAIRS, HALVINGS, LONGEST_CG = 20, 30, 1000


class Iteration(NamedTuple):
    """One step: passes (visits of all images before this θ stood), the step's length, θ, J."""

    passes: int
    step: float
    theta: Tensor
    point: Point


@dataclass(frozen=True)
class Solution:
    """θ (K, D + 1) float64, J there, why the solver stopped, and what it was told after each step.

    passes: visits of all images, each for a gradient or a Hessian product.
    """

    theta: Tensor
    point: Point
    stopped: str
    passes: int


def minimize(
    function: FullBatch,
    start: Tensor,
    gradient_norm: float,
    *,
    solver: str = "newton-cg",
    max_iterations: int = 500,
    report: Callable[[Iteration], None] = lambda iteration: None,
) -> Solution:
    """Minimise J from `start` (K, D + 1) until ‖∇J‖₂ ≤ `gradient_norm`.

    Stops too after `max_iterations` steps, or when none makes J or ‖∇J‖ fall any more.
    """
    direction = {"newton-cg": _Newton, "lbfgs": _Lbfgs}[solver](function, gradient_norm)
    theta, point, passes = start.double().clone(), function.evaluate(start.double()), 1
    for _ in range(max_iterations):
        if point.gradient_norm <= gradient_norm:
            return Solution(theta, point, REACHED, passes)
        step, products = direction(theta, point)
        passes += products
        found, length, visits = _search(function, theta, point, step)
        passes += visits
        if found is None:
            return Solution(theta, function.evaluate(theta), STUCK, passes)
        theta, point = theta + length * step, found
        # The weights stood before the visit that measured them.
        report(Iteration(passes - 1, length, theta, point))
    stopped = REACHED if point.gradient_norm <= gradient_norm else LIMIT
    return Solution(theta, point, stopped, passes)


def extrapolate(optima: Sequence[tuple[float, Tensor]], weight_decay: float) -> Tensor:
    """Return a start for the next λ of a path: a parabola in log λ through the last three optima.

    optima: (λ, θ) in the order of the path, λ > 0, at least one; with two of them, a line.
    """
    places = [math.log(known) for known, _ in optima[-3:]]
    place, start = math.log(weight_decay), torch.zeros_like(optima[-1][1])
    for own, (_, theta) in zip(places, optima[-3:], strict=True):
        others = [other for other in places if other != own]
        start += theta * math.prod((place - other) / (own - other) for other in others)
    return start


def _search(
    function: FullBatch, theta: Tensor, point: Point, step: Tensor
) -> tuple[Point | None, float, int]:
    """Halve a step until it counts; return the point there, the length, and the visits made."""
    slope = (point.gradient * step).sum().item()
    noise = 8 * torch.finfo(function.dtype).eps * abs(point.value)
    for halvings in range(HALVINGS):
        length = 0.5**halvings
        found = function.evaluate(theta + length * step)
        enough = found.value <= point.value + ARMIJO * length * slope
        # Near the optimum J no longer resolves a step, and the gradient still does.
        flat = abs(found.value - point.value) <= noise
        if enough or (flat and found.gradient_norm < point.gradient_norm):
            return found, length, halvings + 1
        if flat and halvings > 3:
            break
    return None, 0.0, halvings + 1


class _Newton:
    def __init__(self, function: FullBatch, target: float):
        self.function, self.target = function, target

    def __call__(self, theta: Tensor, point: Point) -> tuple[Tensor, int]:
        norm = point.gradient_norm
        share = max(min(0.5, math.sqrt(norm)), 0.3 * self.target / norm)
        right = -point.gradient.to(self.function.curvature)
        solved, products = conjugate_gradients(self.function.curvature_along, right, share)
        return solved.double(), products


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], right: Tensor, share: float, longest: int = LONGEST_CG
) -> tuple[Tensor, int]:
    """Solve A x = b, A positive definite, to ‖b − A x‖ ≤ share · ‖b‖; return x and products made.

    ``matrix`` maps v to A v; vectors may have any shape. Stops after `longest` products too, and
    where rounding leaves no curvature along the search direction.
    """
    solved, residual = torch.zeros_like(right), right.clone()
    direction, square = right.clone(), _dot(right, right)
    enough = share**2 * square
    for products in range(longest):
        if square <= enough:
            return solved, products
        image = matrix(direction)
        curvature = _dot(direction, image)
        if not curvature > 0:
            return (solved if products else direction), products + 1
        length = square / curvature
        solved.add_(direction, alpha=length)
        residual.sub_(image, alpha=length)
        last, square = square, _dot(residual, residual)
        direction.mul_(square / last).add_(residual)
    return solved, longest


class _Lbfgs:
    def __init__(self, function: FullBatch, target: float):
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=PAIRS)
        self.last: tuple[Tensor, Tensor] | None = None

    def __call__(self, theta: Tensor, point: Point) -> tuple[Tensor, int]:
        if self.last is not None:
            moved, turned = theta - self.last[0], point.gradient - self.last[1]
            if (product := _dot(moved, turned)) > 0:
                self.pairs.append((moved, turned, product))
        self.last = theta, point.gradient
        step, weights = -point.gradient, []
        for moved, turned, product in reversed(self.pairs):
            weights.append(_dot(moved, step) / product)
            step = step.sub(turned, alpha=weights[-1])
        if self.pairs:
            _, turned, product = self.pairs[-1]
            step *= product / _dot(turned, turned)
        for (moved, turned, product), weight in zip(self.pairs, reversed(weights), strict=True):
            step.add_(moved, alpha=weight - _dot(turned, step) / product)
        return step, 0


def _dot(a: Tensor, b: Tensor) -> float:
    return torch.dot(a.flatten(), b.flatten()).item()
