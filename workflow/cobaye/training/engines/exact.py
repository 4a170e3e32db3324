"""The optimum of the objective, as one epoch: a solver over all images at once, and a certificate.

J is λ-strongly convex where all of θ is penalised, so that J(θ) − min J ≤ ‖∇J(θ)‖² / (2λ) (Boyd &
Vandenberghe, Convex Optimization, 2004, eq. 9.9), λ being the smallest where each class has its
own. The certificate is computed in float64 at the weights as the checkpoint stores them.

A solve that is killed begins again: it takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cobaye import recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.objective import solvers
from cobaye.objective.full_batch import FullBatch, Point
from cobaye.storage.mapped_rows import MappedRows
from cobaye.training import engines
from cobaye.training.engines import Epoch, Step, decay_of
from cobaye.training.engines._tensors import copy_named, flat_inputs


class Engine(engines.Engine):
    """Solves one linear softmax model; parameters are in the dtype of the recipe, zero at first.

    inputs: (N, D) floating. labels: (N,) int64. weight_decay: λ, or one per class.
    """

    def __init__(
        self,
        inputs: Tensor | MappedRows,
        labels: Tensor,
        classes: int,
        *,
        weight_decay: float | tuple[float, ...],
        options: Mapping[str, Any],
        penalize_bias: bool = True,
        device: str = "cpu",
    ):
        self.data = (inputs, labels, classes)
        self.decay, self.options, self.device = decay_of(weight_decay), options, device
        self.penalize_bias = penalize_bias
        self.dtype = getattr(torch, options["dtype"])
        self.weight = torch.zeros(classes, inputs.shape[1], dtype=self.dtype, device=device)
        self.bias = torch.zeros(classes, dtype=self.dtype, device=device)

    def tensors(self) -> dict[str, Tensor]:
        """Return W and b, live."""
        return {"head.weight": self.weight, "head.bias": self.bias}

    def parameters(self) -> list[Tensor]:
        """Return W (K, D) and b (K,)."""
        return [self.weight, self.bias]

    def penalty(self) -> float:
        """Return λ/2 ‖θ‖², in float64."""
        return engines.penalty(self.tensors(), self.decay, penalize_bias=self.penalize_bias)

    def state(self) -> dict[str, Tensor]:
        """Return nothing: a solve is not resumed."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Copy in the parameters."""
        copy_named(tensors, self.tensors())

    def epoch(self, order: Tensor, learning_rate: float) -> Epoch:
        """Solve from the present weights; both arguments are ignored."""
        steps: list[Step] = []
        norms: list[float] = []

        def report(iteration: solvers.Iteration) -> None:
            steps.append(_step(iteration))
            norms.append(iteration.point.gradient_norm)

        solution = solvers.minimize(
            self._function(self.dtype),
            torch.cat((self.weight, self.bias[:, None]), 1).double(),
            self.options["gradient_norm"],
            max_iterations=self.options["max_iterations"],
            report=report,
        )
        self.weight.copy_(solution.theta[:, :-1])
        self.bias.copy_(solution.theta[:, -1])
        stored = torch.cat((self.weight, self.bias[:, None]), 1).double()
        point = self._function(torch.float64).evaluate(stored)
        stopped = solution.stopped
        if stopped == solvers.REACHED and point.gradient_norm > self.options["gradient_norm"]:
            stopped = solvers.STUCK
        return Epoch(
            point.loss,
            point.penalty,
            point.accuracy,
            losses=None,
            steps=tuple(steps),
            stopped=stopped,
            certificate=self._certificate(point) | {"gradient_norms": norms},
        )

    def _function(self, dtype: torch.dtype) -> FullBatch:
        inputs, labels, classes = self.data
        return FullBatch(
            inputs,
            labels,
            classes,
            self.decay,
            penalize_bias=self.penalize_bias,
            dtype=dtype,
            device=self.device,
        )

    def _certificate(self, point: Point) -> dict[str, Any]:
        """Return the objective at the stored weights, and how far from the minimum it may be."""
        smallest = float(torch.as_tensor(self.decay).min())
        bound, why = None, ""
        if smallest == 0:
            why = "none at λ = 0: J is not strongly convex, and may have no minimiser"
        elif not self.penalize_bias:
            why = "none with an unpenalised bias: J is not strongly convex along it"
        else:
            bound, why = point.gradient_norm**2 / (2 * smallest), "‖∇J‖² / (2 λ)"
        return {
            "objective": point.value,
            "gradient_norm": point.gradient_norm,
            "bound": bound,
            "bound_is": why,
        }


def _step(iteration: solvers.Iteration) -> Step:
    point, theta = iteration.point, iteration.theta
    return Step(
        epoch=iteration.passes,
        loss=point.loss,
        penalty=point.penalty,
        accuracy=point.accuracy,
        learning_rate=iteration.step,
        weight_l1=theta.abs().sum().item(),
        weight_l2=theta.norm().item(),
    )


def build(
    recipe: recipes.Training,
    network: torch.nn.Module,
    split: Split,
    normalization: Normalization | None,
    device: str,
) -> Engine:
    """Return the engine of a recipe, at the initial weights of ``network``."""
    engine = Engine(
        flat_inputs(split, normalization, device),
        split.labels,
        split.classes,
        weight_decay=recipe.weight_decay,
        options=recipe.optimizer.algorithm.options,
        penalize_bias=recipe.penalize_bias,
        device=device,
    )
    engine.restore(network.state_dict(), {})
    return engine
