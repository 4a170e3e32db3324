"""Squared error of a linear model and its gradient, in the memory of `_cross_entropy`.

    ∂L/∂W = (Z − Y)ᵀ X / B        ∂L/∂b = Σᵢ (zᵢ − yᵢ) / B        L = ½ ‖z − y‖²

for a batch X of B images, outputs Z = X Wᵀ + b and one-hot targets Y; stated in `cobaye.objective`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cobaye.training.engines._cross_entropy import Batch, CrossEntropy, _Buffers


class SquaredError(CrossEntropy):
    """The mean squared error of every batch of an epoch; used as `CrossEntropy` is.

    The rows of a batch's record are its images' losses, outputs for the label, and largest others.
    """

    def losses(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (N,) of a finished epoch, by image, and its accuracy, a scalar."""
        each, label_output, rival, _ = self.records
        losses = torch.full_like(each, torch.nan)
        losses[order.to(self.device)] = each
        return losses, (label_output > rival).mean(dtype=torch.float64)

    def _forward(self, batch: Batch, buffers: _Buffers, weight: Tensor, bias: Tensor) -> None:
        """Leave (Z − Y)ᵀ / B in ``buffers.residual``."""
        loss, label_output, rival, _ = batch.record
        outputs, residual = self._outputs(buffers, weight, bias), buffers.residual
        torch.index_select(outputs.view(-1), 0, batch.where, out=label_output)
        residual.copy_(outputs).view(-1).index_fill_(0, batch.where, -torch.inf)
        torch.amax(residual, 0, out=rival)

        residual.copy_(outputs).view(-1).index_add_(0, batch.where, buffers.minus_one)
        torch.sum(torch.square(residual, out=buffers.logits), 0, out=loss)
        loss.div_(2)
        residual.mul_(1 / len(batch.images))
