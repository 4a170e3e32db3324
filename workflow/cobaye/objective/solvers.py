"""A minimiser of a convex function: truncated Newton. Why it stopped is part of its result.

Newton-CG (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.1): each step solves
H d = −∇J by conjugate gradients to a relative residual of min(½, √‖∇J‖), but never more
accurately than the requested gradient norm needs. Where that takes more than a few products, they
are preconditioned (algorithm 5.3 there).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.objective.full_batch import FullBatch, Point
from cobaye.objective.preconditioning import Map

REACHED = "gradient norm reached"
LIMIT = "max_iterations reached"
STUCK = "no further progress at this precision"
# A step counts if J falls by this share of what its slope promises (Nocedal & Wright, eq. 3.4).
ARMIJO = 1e-4
HALVINGS, LONGEST_CG = 30, 1000
# A relative residual above this takes a few products: fewer than a preconditioner costs.
ROUGH = 0.3


class Iteration(NamedTuple):
    """One step: passes (visits of all images before this θ stood), the step's length, θ, J."""

    passes: int
    step: float
    theta: Tensor
    point: Point


@dataclass(frozen=True)
class Solution:
    """θ (K, D + 1) float64, J there, and why the solver stopped.

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
    max_iterations: int = 500,
    report: Callable[[Iteration], None] = lambda iteration: None,
) -> Solution:
    """Minimise J from `start` (K, D + 1) until ‖∇J‖₂ ≤ `gradient_norm`.

    It also stops after `max_iterations` steps, or when no step makes J or ‖∇J‖ fall any more.
    """
    theta, point, passes = start.double().clone(), function.evaluate(start.double()), 1
    for _ in range(max_iterations):
        if point.gradient_norm <= gradient_norm:
            return Solution(theta, point, REACHED, passes)
        step, products = _newton_step(function, point, gradient_norm)
        reached, length, visits = _search(function, theta, point, step)
        passes += products + visits
        if reached is None:
            return Solution(theta, function.evaluate(theta), STUCK, passes)
        theta, point = theta + length * step, reached
        # The weights stood before the visit that measured them.
        report(Iteration(passes - 1, length, theta, point))
    stopped = REACHED if point.gradient_norm <= gradient_norm else LIMIT
    return Solution(theta, point, stopped, passes)


def _search(
    function: FullBatch, theta: Tensor, point: Point, step: Tensor
) -> tuple[Point | None, float, int]:
    """Halve a step until it counts; return the point there, the length, and the visits made."""
    slope = (point.gradient * step).sum().item()
    noise = 8 * torch.finfo(function.dtype).eps * abs(point.value)
    for halvings in range(HALVINGS):
        length = 0.5**halvings
        trial = function.evaluate(theta + length * step)
        enough = trial.value <= point.value + ARMIJO * length * slope
        # Near the optimum J no longer resolves a step, and the gradient still does.
        flat = abs(trial.value - point.value) <= noise
        if enough or (flat and trial.gradient_norm < point.gradient_norm):
            return trial, length, halvings + 1
        if flat and halvings > 3:
            break
    return None, 0.0, halvings + 1


def _newton_step(function: FullBatch, point: Point, target: float) -> tuple[Tensor, int]:
    """Return the step (K, D + 1) float64, and the Hessian products that it took."""
    norm = point.gradient_norm
    share = max(min(0.5, math.sqrt(norm)), 0.3 * target / norm)
    right = -point.gradient.to(function.curvature)
    steer = function.preconditioner() if share <= ROUGH else None
    step, products = conjugate_gradients(function.curvature_along, right, share, steer)
    return step.double(), products


def conjugate_gradients(
    matrix: Map, right: Tensor, share: float, steer: Map | None = None
) -> tuple[Tensor, int]:
    """Solve A x = b, A positive definite, to ‖b − A x‖ ≤ share · ‖b‖; return x and products made.

    ``matrix`` maps v to A v, ``steer`` r to M⁻¹ r of a preconditioner; vectors may have any shape.
    Stops after LONGEST_CG products too, and where rounding leaves no curvature along the search
    direction.
    """
    solved, residual = torch.zeros_like(right), right.clone()
    steered = steer(residual) if steer else residual
    direction, slope = steered.clone(), _dot(residual, steered)
    enough = share**2 * _dot(right, right)
    for products in range(LONGEST_CG):
        if _dot(residual, residual) <= enough:
            return solved, products
        image = matrix(direction)
        curvature = _dot(direction, image)
        if not curvature > 0:
            return (solved if products else direction), products + 1
        length = slope / curvature
        solved.add_(direction, alpha=length)
        residual.sub_(image, alpha=length)
        steered = steer(residual) if steer else residual
        last, slope = slope, _dot(residual, steered)
        direction.mul_(slope / last).add_(steered)
    return solved, LONGEST_CG


def _dot(a: Tensor, b: Tensor) -> float:
    return torch.dot(a.flatten(), b.flatten()).item()
