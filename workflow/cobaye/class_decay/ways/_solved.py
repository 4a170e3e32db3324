"""The optimum of the training images at a λ for each class, and its loss on val."""

from __future__ import annotations

import torch
from torch import Tensor

from cobaye.class_decay.descent import NORM
from cobaye.class_decay.ways import Given
from cobaye.errors import DataError
from cobaye.objective.full_batch import FullBatch
from cobaye.objective.solvers import minimize


class Optimum:
    """Solves for one configuration, each from the optimum before it.

    theta: (K, D + 1) float64, of the last solve. counts: (K,), the training images of each class.
    """

    def __init__(self, given: Given):
        self.given, self.train, self.val = given, given.images("train"), given.images("val")
        self.counts = torch.bincount(self.train.labels, minlength=given.classes).double()
        self.theta = torch.zeros(
            given.classes, self.train.inputs.shape[1] + 1, dtype=torch.float64, device=given.device
        )

    @property
    def norms(self) -> Tensor:
        """The norm of what is penalised of each class's row, (K,)."""
        whole = self.given.training.penalize_bias
        return (self.theta if whole else self.theta[:, :-1]).norm(dim=1).cpu()

    def loss(self, decay: Tensor) -> float:
        """Solve at λ (K,) and return the mean loss on val."""
        self.theta = minimize(self._function(self.train, decay), self.theta, NORM).theta
        return self._function(self.val, torch.zeros_like(decay)).evaluate(self.theta).loss

    def _function(self, images, decay: Tensor) -> FullBatch:
        return FullBatch(
            images.inputs,
            images.labels,
            self.given.classes,
            decay,
            penalize_bias=self.given.training.penalize_bias,
            dtype=torch.float32,
            device=self.given.device,
        )


def start(given: Given, way: str) -> float:
    """Return the best single λ; raises DataError where it is 0, from which no factor leads away."""
    if not float(given.best) > 0:
        raise DataError(
            f"the best λ is {given.best}: {way} multiplies it; give the study smaller "
            "weight_decays, or leave this way out"
        )
    return float(given.best)
