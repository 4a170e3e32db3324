"""Cross-entropy of linear softmax models and its gradient, batch by batch, in preallocated memory.

With logits z = W x + b and shares p = softmax(z), for a batch X of B images and one-hot labels Y:

    ∂CE/∂W = (P − Y)ᵀ X / B    ∂CE/∂b = Σᵢ (pᵢ − yᵢ) / B    CE = z_top − z_y + log Σ e^(z − z_top)

where *top* is the most probable class, so that losses are exact however large the logits. The
objective is stated in ``cobaye.objective``. M models of the same inputs, *heads*, are computed at
once: their weights lie one under the other, (M·K, D), and each product is one for all.

Four choices make this little more than its two matrix products. Logits are held class-major,
(M, K, B), so that no product needs a transposed copy and softmax vectorises over images, however
few the classes. Exponentials are powers of two, which torch computes in 0.4 of the time of exp.
What the losses need of each image goes into vectors, reduced once per epoch, so that a GPU never
waits. And products go to the faster library (`matmul.product`): where that is oneDNN, each batch
allocates its results, (M·K, B) and (M·K, D), and frees them, as its operator has no ``out=``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.objective import matmul
from cobaye.storage.mapped_rows import MappedRows, take

LOG2_E = math.log2(math.e)
# Multiply-adds of a product below which oneDNN's cost per call (10 µs) outweighs its speed.
LARGE_PRODUCT = 2**20


class _Buffers(NamedTuple):
    """Memory for the batches of one size B."""

    x: Tensor  # (B, D), as the products take it
    raw: Tensor | None  # (B, D) as the inputs are stored, where they need a conversion or a move
    logits: Tensor  # (M·K, B)
    minus_share: Tensor  # (M·B,): −1/B
    heads: Tensor  # (M, 1) int64: where each head begins in a flat (M, K, B) tensor


class Batch(NamedTuple):
    """One batch of an epoch."""

    images: Tensor  # (B,) int64: which images, on the device of the inputs
    where: Tensor  # (B,) int64: where each label's entry lies in a flat (K, B) matrix
    record: Tensor  # (5, M·B): see `CrossEntropy._residual`


class CrossEntropy:
    """The mean cross-entropy of every batch of an epoch, for each of M heads.

    ``inputs`` (N, D) floating, ``labels`` (N,) int64 in [0, classes). The inputs are gathered where
    they lie; all else lives on ``device``, in ``dtype``, which is float64 if the inputs are, and
    float32 otherwise, unless it is given. With ``mixed``, products take inputs, weights and
    residuals as bfloat16.
    Raises ValueError for other shapes, dtypes or labels.
    """

    def __init__(
        self,
        inputs: Tensor | MappedRows,
        labels: Tensor,
        classes: int,
        batch_size: int,
        device: torch.device | str,
        dtype: torch.dtype | None = None,
        *,
        heads: int = 1,
        mixed: bool = False,
    ):
        _check(inputs, labels, classes, batch_size)
        self.labels, self.classes, self.heads = labels.to(device), classes, heads
        self.device = self.labels.device
        self.dtype = dtype or torch.promote_types(inputs.dtype, torch.float32)
        self.multiplied = torch.bfloat16 if mixed else self.dtype
        # Converted once; rows on a disk are, batch by batch.
        self.inputs = inputs.bfloat16() if mixed and isinstance(inputs, Tensor) else inputs
        self.batch_size = min(batch_size, len(inputs))

        step = torch.arange(len(inputs), device=self.device)
        self.sizes = [len(part) for part in step.split(self.batch_size)]
        self.columns = step % self.batch_size
        self.widths = torch.cat([torch.full_like(step[:size], size) for size in self.sizes])
        self.where = torch.empty_like(step)
        self.records = torch.zeros(5, heads * len(inputs), dtype=self.dtype, device=self.device)
        self.weight_gradient = self._empty(heads * classes, inputs.shape[1])
        self.bias_gradient = self._empty(heads * classes)
        self.buffers = {size: self._buffers(size) for size in set(self.sizes)}

    def batches(self, order: Tensor) -> Iterator[Batch]:
        """Cut an epoch's ``order``, a permutation of the images, (N,) int64, into batches."""
        if order.shape != self.labels.shape or order.dtype != torch.int64:
            raise ValueError(f"order is {_describe(order)}, not ({len(self.labels)},) int64")
        self.product = self._choose_product()
        torch.index_select(self.labels, 0, order.to(self.device), out=self.where)
        self.where.mul_(self.widths).add_(self.columns)
        return map(
            Batch,
            order.to(self.inputs.device).split(self.batch_size),
            self.where.split(self.batch_size),
            self.records.split(self.heads * self.batch_size, dim=1),
        )

    def gradient(self, batch: Batch, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient at W (M·K, D) and b (M·K,), and record what the losses need.

        The gradient is valid until the next call, and may be written to.
        """
        buffers = self.buffers[len(batch.images)]
        self._gather(batch.images, buffers)
        outputs = self._outputs(buffers, weight, bias)
        where = (batch.where + buffers.heads).view(-1) if self.heads > 1 else batch.where
        residual = self._residual(outputs, where, batch.record, buffers)
        weight_gradient = self.product(residual, buffers.x.T, self.weight_gradient)
        return weight_gradient, torch.sum(residual, 1, out=self.bias_gradient)

    def losses(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return a finished epoch's losses (M, N), by image, and its accuracies (M,)."""
        label_logit, top_logit, total, label_share, rival_share = self._by_head()
        each = (top_logit - label_logit).add_(total.log())
        return self._in_place(each, order), self._share(label_share > rival_share)

    def _by_head(self) -> Tensor:
        """Return the epoch's records, (5, M, N)."""
        if self.heads == 1:
            return self.records[:, None]
        batches = self.records.split(self.heads * self.batch_size, dim=1)
        return torch.cat([batch.view(len(batch), self.heads, -1) for batch in batches], 2)

    def _in_place(self, losses: Tensor, order: Tensor) -> Tensor:
        """Return losses (M, N) in the order of the data."""
        placed = torch.full_like(losses, torch.nan)
        placed[:, order.to(self.device)] = losses
        return placed

    @staticmethod
    def _share(hits: Tensor) -> Tensor:
        return hits.mean(1, dtype=torch.float64)

    def _gather(self, images: Tensor, buffers: _Buffers) -> None:
        if buffers.raw is None:
            take(self.inputs, images, buffers.x)
        else:
            take(self.inputs, images, buffers.raw)
            buffers.x.copy_(buffers.raw)

    def _residual(
        self, outputs: Tensor, where: Tensor, record: Tensor, buffers: _Buffers
    ) -> Tensor:
        """Return (P − Y)ᵀ / B in the memory of `outputs`, (M·K, B)."""
        batch = outputs.shape[1]
        label_logit, top_logit, total, label_share, rival_share = record
        flat, by_head = outputs.view(-1), outputs.view(self.heads, self.classes, batch)
        torch.index_select(flat, 0, where, out=label_logit)
        top, sums = top_logit.view(self.heads, batch), total.view(self.heads, batch)
        torch.amax(by_head, 1, out=top)
        by_head.sub_(top[:, None]).mul_(LOG2_E).exp2_()
        torch.sum(by_head, 1, out=sums)
        by_head.mul_((1 / batch / sums)[:, None])
        torch.index_select(flat, 0, where, out=label_share)
        flat.index_add_(0, where, buffers.minus_share)
        # The label's entry is now (p_y − 1) / B ≤ 0, so the maximum is over the other classes.
        torch.amax(by_head, 1, out=rival_share.view(self.heads, batch))
        return outputs

    def _outputs(self, buffers: _Buffers, weight: Tensor, bias: Tensor) -> Tensor:
        """Return W x + b of the batch's images, class-major, (M·K, B)."""
        return self.product(weight, buffers.x, buffers.logits).add_(bias[:, None])

    def _buffers(self, size: int) -> _Buffers:
        width, rows = self.inputs.shape[1], self.heads * self.classes
        raw = None
        if (self.inputs.dtype, self.inputs.device) != (self.multiplied, self.device):
            pinned = self.device.type == "cuda" and self.inputs.device.type == "cpu"
            raw = self.inputs.new_empty(size, width, pin_memory=pinned)
        heads = torch.arange(self.heads, device=self.device)[:, None]
        return _Buffers(
            x=torch.empty(size, width, dtype=self.multiplied, device=self.device),
            raw=raw,
            logits=self._empty(rows, size),
            minus_share=self._empty(self.heads * size).fill_(-1 / size),
            heads=heads * (self.classes * size),
        )

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def _choose_product(self) -> matmul.Product:
        """Return how two matrices are multiplied: by shapes, and by `matmul.library`."""
        if self.multiplied == torch.bfloat16:
            return matmul.bfloat16(self.device)
        large = self.batch_size * self.weight_gradient.numel() >= LARGE_PRODUCT
        return matmul.product(self.device, self.dtype) if large else matmul.plain


def _check(inputs: Tensor | MappedRows, labels: Tensor, classes: int, batch_size: int) -> None:
    if inputs.ndim != 2 or not inputs.is_floating_point() or not len(inputs):
        raise ValueError(f"inputs are {_describe(inputs)}, not (N, D) floating, N ≥ 1")
    if labels.shape != inputs.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels are {_describe(labels)}, not ({len(inputs)},) int64")
    lowest, highest = labels.min().item(), labels.max().item()
    if lowest < 0 or highest >= classes:
        raise ValueError(f"labels go from {lowest} to {highest}, outside [0, {classes})")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, not 1 or more")


def _describe(tensor: Tensor | MappedRows) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
