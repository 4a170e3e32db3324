"""A λ for each class by descent along the hypergradient, cross-fitted and shrunk to a common λ.

With ρ_c = log λ_c and L the mean cross-entropy of images that the fit leaves out, at the optimum
θ*(λ), a step is

    ρ ← m + (1 − s)(ρ − m) − η K dL/dρ,        m = mean of ρ,   dL/dρ_c = λ_c dL/dλ_c

which descends L + s/(2ηK) Σ (ρ_c − m)²: the shrinkage s is the share of the departures from the
common λ that each step takes back, and s = 1 keeps no memory of them. η is such that the root mean
square of the first step is STRIDE. Each fold keeps images for the step after which to stop; what is
chosen, s and the number of steps, is what has the lowest mean loss on these over all folds, and the
result is the mean of the folds' ρ there. No step at all, one λ, is among the choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cobaye.objective.full_batch import FullBatch
from cobaye.objective.implicit_gradient import hypergradient
from cobaye.objective.solvers import minimize

# Of log λ; the gradient norm of an optimum; the residual of its linear solve. The descent is
# cut short by noise long before it would need more.
STRIDE, NORM, RESIDUAL = 0.1, 1e-3, 0.1
SHRINKAGES, STEPS = (0.0, 0.2, 0.5), 5
# No λ goes farther from the common one than this factor.
FARTHEST = 100.0


@dataclass(frozen=True)
class Images:
    """inputs: (N, D) floating. labels: (N,) int64."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: np.ndarray) -> Images:
        """Return the images where `rows`, (N,), is true."""
        picked = torch.from_numpy(np.flatnonzero(rows))
        return Images(self.inputs[picked], self.labels[picked])

    def and_(self, others: Images) -> Images:
        """Return these images, then the others."""
        return Images(
            torch.cat((self.inputs, others.inputs)), torch.cat((self.labels, others.labels))
        )


class Fold(NamedTuple):
    """One fold: images to fit, images to choose λ on, and images that say when to stop.

    whole: the number of training images that λ is for. The fit minimises the sum of losses with
    λN/2 ‖θ‖², so that λ is larger by whole/N where a fold leaves images out.
    """

    fitted: Images
    chosen_on: Images
    stopped_on: Images
    whole: int


@dataclass(frozen=True)
class Chosen:
    """weight_decays: (K,). shrinkage, steps: the chosen ones; 0 steps are one λ.

    losses: (F, S, T + 1), the loss on each fold's left-out images by shrinkage and step.
    """

    weight_decays: np.ndarray
    shrinkage: float
    steps: int
    losses: np.ndarray


def folds(train: Images, val: Images, count: int, seed: int, *, train_too: bool) -> Iterator[Fold]:
    """Yield `count` folds, each class dealt evenly to them.

    Of val, a fold keeps its own part to stop on and chooses on the rest. train_too: its part of the
    training images is left out of the fit and joins those that λ is chosen on; only for images that
    the backbone never saw, as its features of others are better than those of new ones.
    """
    parts = dealt(val.labels.numpy(), count, seed)
    of_train = dealt(train.labels.numpy(), count, seed + 1)
    for fold in range(count):
        chosen_on, fitted = val.at(parts != fold), train
        if train_too:
            fitted = train.at(of_train != fold)
            chosen_on = chosen_on.and_(train.at(of_train == fold))
        yield Fold(fitted, chosen_on, val.at(parts == fold), len(train))


def dealt(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the fold of each image (N,), 0 … count − 1: those of a class differ by one at most."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    result = np.empty(len(labels), dtype=np.int64)
    result[order] = np.arange(len(labels)) % count
    return result


def choose(
    parts: Iterable[Fold],
    classes: int,
    start: float,
    *,
    shrinkages: Sequence[float] = SHRINKAGES,
    steps: int = STEPS,
    penalize_bias: bool = True,
    device: str = "cpu",
    report: Callable[[str], None] = lambda done: None,
) -> Chosen:
    """Return a λ for each class, by descent in every fold from the common λ `start`.

    report: called with a line for each descent. Raises ValueError unless `start` is above 0.
    """
    if not start > 0:
        raise ValueError("a λ for each class starts from a common λ above 0")
    rhos, losses = [], []
    for number, part in enumerate(parts, start=1):
        objective = _Objective(part, classes, penalize_bias, device)
        descents = []
        for shrinkage in shrinkages:
            descents.append(_descend(objective, start, shrinkage, steps))
            loss = descents[-1][1]
            report(
                f"fold {number}, shrinkage {shrinkage}: left-out loss {loss[0]:.4f}, lowest "
                f"{loss.min():.4f} after step {loss.argmin()}"
            )
        rhos.append([rho for rho, _ in descents])
        losses.append([loss for _, loss in descents])
    mean = np.mean(losses, axis=0)
    # Of equals, the first step; no step is the same for all.
    best, step = np.unravel_index(np.argmin(mean), mean.shape)
    rho = np.mean([shrinkage[best][step] for shrinkage in rhos], axis=0)
    return Chosen(np.exp(rho), float(shrinkages[best]), int(step), np.array(losses))


class _Objective:
    """The optimum of a fold by λ, each solve beginning at the one before it."""

    def __init__(self, part: Fold, classes: int, penalize_bias: bool, device: str):
        self.part, self.classes, self.device = part, classes, device
        self.penalize_bias = penalize_bias
        self.chosen_on, self.stopped_on = (
            self._of(images, 0.0) for images in (part.chosen_on, part.stopped_on)
        )
        self.origin = self._start()

    def _start(self) -> Tensor:
        return torch.zeros(self.stopped_on.shape, dtype=torch.float64, device=self.device)

    def solve(self, rho: Tensor, theta: Tensor) -> tuple[FullBatch, Tensor]:
        """Return J at these log λ, and its minimum."""
        scale = self.part.whole / len(self.part.fitted)
        function = self._of(self.part.fitted, scale * rho.exp())
        return function, minimize(function, theta, NORM).theta

    def _of(self, images: Images, decay: float | Tensor) -> FullBatch:
        return FullBatch(
            images.inputs,
            images.labels,
            self.classes,
            decay,
            penalize_bias=self.penalize_bias,
            dtype=torch.float32,
            device=self.device,
        )


def _descend(
    objective: _Objective, start: float, shrinkage: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return log λ (T + 1, K), the start first, and the loss of the left-out images there."""
    common = torch.full(
        (objective.classes,), math.log(start), dtype=torch.float64, device=objective.device
    )
    rho, rate = common, None
    function, theta = objective.solve(rho, objective.origin)
    objective.origin = theta  # the start of the next descent too
    path, losses = [rho], [objective.stopped_on.evaluate(theta).loss]
    for _ in range(steps):
        gradient = hypergradient(function, objective.chosen_on, theta, share=RESIDUAL)
        # dL/dλ of what is fitted, times its λ: dL/dρ.
        slope = gradient.each * function.decay[:, 0] * objective.classes
        rate = rate or STRIDE / max(slope.square().mean().sqrt().item(), 1e-12)
        departure = (1 - shrinkage) * (rho - rho.mean())
        rho = (rho.mean() + departure - rate * slope).clamp(
            common - math.log(FARTHEST), common + math.log(FARTHEST)
        )
        function, theta = objective.solve(rho, theta)
        path.append(rho)
        losses.append(objective.stopped_on.evaluate(theta).loss)
    return torch.stack(path).cpu().numpy(), np.array(losses)
