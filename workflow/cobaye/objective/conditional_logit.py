"""Logits refitted on images that the classifier did not learn from: a convex problem.

    z_k = Σ_m w_m s_mk + b_k       J(w, b) = mean cross-entropy of z + Σ_j (θ_j − c_j)² / (2 N σ_j²)

s_m, m = 1 … M, are the logits of given classifiers of one image, θ = (w, b), and N the number of
images. It is the conditional logit model of McFadden (1974). The penalty is a normal prior with
means c and standard deviations σ. Without b, M = 1 is temperature scaling (Guo et al. 2017), T =
1/w, and M > 1 a linear mix of classifiers. With b, M = 1 is bias-corrected temperature scaling
(Alexandari, Kundaje and Shrikumar 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from cobaye.objective import solvers
from cobaye.objective.full_batch import Point
from cobaye.objective.preconditioning import Map

# Logits (B, M, K) of a block of images, and its labels (B,).
Blocks = Callable[[], Iterable[tuple[Tensor, Tensor]]]
NORM = 1e-7


class ConditionalLogit:
    """J, its gradient and its whole Hessian, in float64; a visit of the images for all three.

    blocks: yields the images anew at each call. centre, deviations: c and σ, (M,) without a bias,
    (M + K,) with one.
    """

    dtype = curvature = torch.float64

    def __init__(self, blocks: Blocks, centre: Tensor, deviations: Tensor):
        self.blocks = blocks
        self.centre, self.deviations = centre.double(), deviations.double()
        self.hessian = torch.zeros(0, 0)

    @torch.no_grad()
    def evaluate(self, theta: Tensor) -> Point:
        """Return J and its gradient at θ, where `curvature_along` is then taken."""
        size, images, totals = len(theta), 0, torch.zeros(2, dtype=torch.float64)
        gradient, hessian = torch.zeros_like(theta), theta.new_zeros(size, size)
        for scores, labels in self.blocks():
            images += len(labels)
            totals += self._add(scores.double(), labels, theta, gradient, hessian)
        loss, accuracy = (totals / images).tolist()
        precision = 1 / (images * self.deviations.square())
        apart = theta - self.centre
        penalty = (precision * apart.square()).sum().item() / 2
        self.hessian = hessian.div_(images) + torch.diag(precision)
        gradient.div_(images).addcmul_(precision, apart)
        return Point(loss + penalty, gradient, loss, penalty, accuracy)

    def _add(
        self, scores: Tensor, labels: Tensor, theta: Tensor, gradient: Tensor, hessian: Tensor
    ) -> Tensor:
        """Add a block's sums to gradient and Hessian; return those of its losses and hits."""
        number = scores.shape[1]
        logits = torch.einsum("m,bmk->bk", theta[:number], scores)
        if biased := len(theta) > number:
            logits += theta[number:]
        logs = torch.log_softmax(logits, dim=1)
        shares, own = logs.exp(), labels[:, None]
        residual = shares.scatter_add(1, own, torch.full_like(shares[:, :1], -1))
        weighted = shares[:, None] * scores
        means = weighted.sum(2)
        gradient[:number] += torch.einsum("bk,bmk->m", residual, scores)
        hessian[:number, :number] += torch.einsum("bmk,blk->ml", weighted, scores)
        hessian[:number, :number] -= means.T @ means
        if biased:
            gradient[number:] += residual.sum(0)
            across = weighted.sum(0) - means.T @ shares
            hessian[:number, number:] += across
            hessian[number:, :number] += across.T
            # It only steers the solver, so float32 costs no accuracy.
            single = shares.float()
            hessian[number:, number:] += torch.diag(shares.sum(0)) - single.T @ single
        hits = (logits.argmax(1) == labels).sum()
        return torch.stack((-logs.gather(1, own).sum(), hits.double()))

    def curvature_along(self, direction: Tensor) -> Tensor:
        """Return H·v at the last point evaluated."""
        return self.hessian @ direction

    def preconditioner(self) -> Map | None:
        """Return None: products of so small a matrix cost nothing."""
        return None


def fit(blocks: Blocks, centre: Tensor, deviations: Tensor) -> Tensor:
    """Return the θ of lowest J, float64: Newton's method from the prior's means."""
    function = ConditionalLogit(blocks, centre, deviations)
    return solvers.minimize(function, function.centre, NORM, max_iterations=100).theta
