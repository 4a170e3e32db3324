"""Squared error of a linear model and its gradient, in the memory of `_cross_entropy`.

    ∂L/∂W = (Z − Y)ᵀ X / B        ∂L/∂b = Σᵢ (zᵢ − yᵢ) / B        L = ½ ‖z − y‖²

for a batch X of B images, outputs Z = X Wᵀ + b and one-hot targets Y; stated in `cobaye.objective`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cobaye.training.engines._cross_entropy import CrossEntropy, _Buffers


class SquaredError(CrossEntropy):
    """The mean squared error of every batch of an epoch; used as `CrossEntropy` is, of one head."""

    def losses(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return a finished epoch's losses (1, N), by image, and its accuracies (1,)."""
        each, label_output, rival, *_ = self._by_head()
        return self._in_place(each, order), self._share(label_output > rival)

    def _residual(
        self, outputs: Tensor, where: Tensor, record: Tensor, buffers: _Buffers
    ) -> Tensor:
        """Return (Z − Y)ᵀ / B in the memory of `outputs`, (K, B)."""
        loss, label_output, rival, *_ = record
        flat = outputs.view(-1)
        torch.index_select(flat, 0, where, out=label_output)
        flat.index_fill_(0, where, -torch.inf)
        torch.amax(outputs, 0, out=rival)
        flat.index_copy_(0, where, label_output - 1)
        torch.sum(torch.square(outputs), 0, out=loss)
        loss.div_(2)
        return outputs.mul_(1 / outputs.shape[1])
