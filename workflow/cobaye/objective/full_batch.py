"""The objective of `cobaye.objective` over all images at once: value, gradient, Hessian products.

θ is one float64 matrix (K, D + 1), a row per class: its weights, then its bias. Images are
visited in blocks, so that a block's logits stay in cache. The shares softmax(z) of the last point
that was evaluated are kept for its Hessian products, up to KEPT numbers. Beyond that they are
computed again, which costs a third more per product.

Sums over blocks are in float64, the products inside a block in the requested dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.objective import matmul, preconditioning
from cobaye.storage import machine
from cobaye.storage.mapped_rows import MappedRows, take

# Rows per block on CPU: 1,024 × 200 float32 logits are 0.8 MB. A GPU wants larger ones.
BLOCK, CUDA_BLOCK = 1024, 16384
KEPT = 2**28


class Point(NamedTuple):
    """J and its gradient at one θ.

    value: J(θ). gradient: (K, D + 1) float64. loss: mean cross-entropy, nats. penalty: the penalty
    term of J. accuracy: share of the images whose label is strictly the most probable class.
    """

    value: float
    gradient: Tensor
    loss: float
    penalty: float
    accuracy: float

    @property
    def gradient_norm(self) -> float:
        """‖∇J‖₂ over all of θ."""
        return self.gradient.norm().item()


class FullBatch:
    """J of one data set.

    Parameters
    ----------
    inputs : (N, D) floating, a tensor or rows on disk. labels : (N,) int64 in [0, classes).
    weight_decay : λ, a number or one per class, (K,).
    dtype : of value and gradient, float32 or float64. curvature : dtype of Hessian products. They
        only steer a solver, so float32 costs no accuracy where the gradient is float64.
    """

    def __init__(
        self,
        inputs: Tensor | MappedRows,
        labels: Tensor,
        classes: int,
        weight_decay: float | Tensor,
        *,
        penalize_bias: bool = True,
        dtype: torch.dtype = torch.float64,
        curvature: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        self.inputs, self.labels = inputs, labels.to(device)
        self.device, self.dtype, self.curvature = self.labels.device, dtype, curvature
        if self.device.type == "cpu":
            machine.keep_freed_memory()
        self.block = CUDA_BLOCK if self.device.type == "cuda" else BLOCK
        self.shape = (classes, inputs.shape[1] + 1)
        each = torch.as_tensor(weight_decay, dtype=torch.float64, device=self.device)
        if each.shape not in ((), (classes,)):
            raise ValueError(f"weight_decay: {tuple(each.shape)}, not a number or ({classes},)")
        self.decay = each.reshape(-1, 1).expand(self.shape).clone()
        if not penalize_bias:
            self.decay[:, -1] = 0
        self._decay = self.decay.to(curvature)
        self._shares: list[Tensor] = []
        self._theta = torch.zeros(self.shape, dtype=torch.float64, device=self.device)

    @torch.no_grad()
    def evaluate(self, theta: Tensor) -> Point:
        """Return J and its gradient at θ, which becomes the point of `curvature_along`."""
        self._theta, self._shares = theta, []
        keep = len(self.labels) * self.shape[0] <= KEPT
        multiply = matmul.product(self.device, self.dtype)
        gradient = torch.zeros(self.shape, dtype=torch.float64, device=self.device)
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for x, labels in self._blocks(self.dtype):
            shares = _logits(multiply, theta.to(self.dtype), x)
            losses = _softmax(shares, labels)
            if keep:
                self._shares.append(shares.to(self.curvature, copy=True))
            hits = _to_residual(shares, labels)
            gradient[:, :-1] += multiply(shares, x.T)
            gradient[:, -1] += shares.sum(1, dtype=torch.float64)
            totals += torch.stack((losses.sum(dtype=torch.float64), hits))
        gradient.div_(len(self.labels)).addcmul_(self.decay, theta)
        loss, accuracy = (totals / len(self.labels)).tolist()
        penalty = (self.decay * theta * theta).sum().item() / 2
        return Point(loss + penalty, gradient, loss, penalty, accuracy)

    @torch.no_grad()
    def curvature_along(self, direction: Tensor) -> Tensor:
        """Return H·v at the last point evaluated; v and the result (K, D + 1) in `curvature`."""
        multiply = matmul.product(self.device, self.curvature)
        result = torch.zeros_like(direction)
        for x, shares in self._with_shares():
            slope = _logits(multiply, direction, x)
            slope.sub_((shares * slope).sum(0)).mul_(shares)
            result[:, :-1] += multiply(slope, x.T)
            result[:, -1] += slope.sum(1)
        return result.div_(len(self.labels)).addcmul_(self._decay, direction)

    @torch.no_grad()
    def preconditioner(self) -> preconditioning.Map:
        """Return r ↦ M⁻¹ r, M near H at the last point; (K, D + 1) in `curvature`."""
        classes, width = self.shape
        count = max(1, min(preconditioning.IMAGES, preconditioning.LARGEST // (classes * width)))
        weights, places, totals, squares = preconditioning.heaviest(self._with_shares(), count)
        found = self.inputs.new_empty(places.numel(), width - 1)
        take(self.inputs, places.flatten().to(found.device), found)
        rows = torch.ones(*places.shape, width, device=self.device, dtype=self.curvature)
        rows[:, :, :-1] = found.view(*places.shape, -1)
        rest = (totals - weights.sum(1)).clamp_min(0)
        images = len(self.labels)
        squares = torch.cat((squares / images, torch.ones_like(squares[:1])))
        return preconditioning.inverse(rows, weights / images, rest / images, squares, self._decay)

    def _with_shares(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs of each block and its shares (K, B) at the last point evaluated."""
        multiply = matmul.product(self.device, self.curvature)
        kept = iter(self._shares)
        for x, labels in self._blocks(self.curvature):
            shares = next(kept, None)
            if shares is None:
                shares = _logits(multiply, self._theta.to(self.curvature), x)
                _softmax(shares, labels)
            yield x, shares

    def _blocks(self, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for rows in self.inputs.split(self.block):
            yield rows.to(self.device, dtype), self.labels[start : start + len(rows)]
            start += len(rows)


def _logits(multiply: matmul.Product, theta: Tensor, x: Tensor) -> Tensor:
    """Return W X^T + b, (K, B): class-major, as no product then needs a transposed copy."""
    return multiply(theta[:, :-1].contiguous(), x).add_(theta[:, -1:])


def _softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Turn logits (K, B) into shares, in place; return the cross-entropies (B,)."""
    top, label_logits = logits.amax(0), logits.gather(0, labels[None])[0]
    total = logits.sub_(top).exp_().sum(0)
    logits.div_(total)
    return total.log().add_(top - label_logits)


def _to_residual(shares: Tensor, labels: Tensor) -> Tensor:
    """Subtract the one-hot labels in place; return how many labels had the largest share."""
    label_shares = shares.gather(0, labels[None])
    shares.scatter_(0, labels[None], -1.0)
    hits = (label_shares[0] > shares.amax(0)).sum()
    shares.scatter_(0, labels[None], label_shares - 1)
    return hits
