"""Cross-entropy of a linear softmax model and its gradient, batch by batch, in preallocated memory.

With logits z = W x + b and shares p = softmax(z), for a batch X of B images and one-hot labels Y:

    ∂CE/∂W = (P − Y)ᵀ X / B        ∂CE/∂b = Σᵢ (pᵢ − yᵢ) / B        CE = z_top − log p_top − z_y

where *top* is the most probable class: only its share, at least 1/K, is taken a logarithm of, so
losses are exact however large the logits. The objective is stated in ``cobaye.objective``.

Three choices make this little more than its two matrix products. Logits are held class-major,
(K, B), so that no product needs a transposed copy and softmax vectorises over images, however few
the classes. What the losses need of each image goes into vectors (N,), reduced once per epoch, so
that a GPU never waits. And on CPU, large float32 products go to oneDNN instead of MKL, which is
half as fast on AMD (benchmarks/head_training.py). oneDNN's operator has no ``out=``, so each batch
then allocates its results, (K, B) and (K, D), and some scratch, and frees them; by MKL it allocates
nothing but views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.objective import matmul
from cobaye.storage.mapped_rows import MappedRows, take

# Multiply-adds of a product below which oneDNN's cost per call (10 µs) outweighs its speed.
LARGE_PRODUCT = 2**20


class _Buffers(NamedTuple):
    """Memory for the batches of one size B."""

    x: Tensor  # (B, D)
    raw: Tensor | None  # (B, D) as the inputs are stored, where they need a conversion or a move
    logits: Tensor  # (K, B)
    residual: Tensor  # (K, B)
    minus_one: Tensor  # (B,)


class Batch(NamedTuple):
    """One batch of an epoch."""

    images: Tensor  # (B,) int64: which images, on the device of the inputs
    where: Tensor  # (B,) int64: where each label's entry lies in a flat (K, B) matrix
    record: Tensor  # (4, B): logit of the label, largest logit, share of the label, largest other


class CrossEntropy:
    """The mean cross-entropy of every batch of an epoch.

    ``inputs`` (N, D) floating, ``labels`` (N,) int64 in [0, classes). The inputs are gathered where
    they lie; all else lives on ``device``, in ``dtype``, which is float64 if the inputs are, and
    float32 otherwise, unless it is given.
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
    ):
        _check(inputs, labels, classes, batch_size)
        self.inputs, self.labels, self.classes = inputs, labels.to(device), classes
        self.device = self.labels.device
        self.dtype = dtype or torch.promote_types(inputs.dtype, torch.float32)
        self.batch_size = min(batch_size, len(inputs))

        step = torch.arange(len(inputs), device=self.device)
        self.sizes = [len(part) for part in step.split(self.batch_size)]
        self.columns = step % self.batch_size
        self.widths = torch.cat([torch.full_like(step[:size], size) for size in self.sizes])
        self.where = torch.empty_like(step)
        self.records = torch.zeros(4, len(inputs), dtype=self.dtype, device=self.device)
        self.weight_gradient = self._empty(classes, inputs.shape[1])
        self.bias_gradient = self._empty(classes)
        self.buffers = {size: self._buffers(size) for size in set(self.sizes)}
        self.product = self._choose_product()

    def batches(self, order: Tensor) -> Iterator[Batch]:
        """Cut an epoch's ``order``, a permutation of the images, (N,) int64, into batches."""
        if order.shape != self.labels.shape or order.dtype != torch.int64:
            raise ValueError(f"order is {_describe(order)}, not ({len(self.labels)},) int64")
        torch.index_select(self.labels, 0, order.to(self.device), out=self.where)
        self.where.mul_(self.widths).add_(self.columns)
        return map(
            Batch,
            order.to(self.inputs.device).split(self.batch_size),
            self.where.split(self.batch_size),
            self.records.split(self.batch_size, dim=1),
        )

    def gradient(self, batch: Batch, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient at W (K, D) and b (K,), and record what the losses need.

        The gradient is valid until the next call, and may be written to.
        """
        buffers = self.buffers[len(batch.images)]
        self._gather(batch.images, buffers)
        self._forward(batch, buffers, weight, bias)
        x, residual = buffers.x, buffers.residual
        if self.product:
            weight_gradient = self.product(residual, x.T)
        else:
            weight_gradient = torch.mm(residual, x, out=self.weight_gradient)
        return weight_gradient, torch.sum(residual, 1, out=self.bias_gradient)

    def losses(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (N,) of a finished epoch, by image, and its accuracy, a scalar."""
        label_logit, top_logit, label_share, rival_share = self.records
        log_top_share = torch.maximum(label_share, rival_share).log_()
        losses = torch.full_like(label_logit, torch.nan)
        losses[order.to(self.device)] = (top_logit - label_logit).sub_(log_top_share)
        return losses, (label_share > rival_share).mean(dtype=torch.float64)

    def _gather(self, images: Tensor, buffers: _Buffers) -> None:
        if buffers.raw is None:
            take(self.inputs, images, buffers.x)
        else:
            take(self.inputs, images, buffers.raw)
            buffers.x.copy_(buffers.raw)

    def _forward(self, batch: Batch, buffers: _Buffers, weight: Tensor, bias: Tensor) -> None:
        """Leave (P − Y)ᵀ / B in ``buffers.residual``."""
        label_logit, top_logit, label_share, rival_share = batch.record
        logits, residual = self._outputs(buffers, weight, bias), buffers.residual
        torch.index_select(logits.view(-1), 0, batch.where, out=label_logit)
        torch.amax(logits, 0, out=top_logit)

        torch.softmax(logits, 0, out=residual)
        shares = residual.view(-1)
        torch.index_select(shares, 0, batch.where, out=label_share)
        shares.index_add_(0, batch.where, buffers.minus_one)
        # The label's entry is now p_y − 1 ≤ 0, so the maximum is over the other classes.
        torch.amax(residual, 0, out=rival_share)
        residual.mul_(1 / len(batch.images))

    def _outputs(self, buffers: _Buffers, weight: Tensor, bias: Tensor) -> Tensor:
        """Return W x + b of the batch's images, class-major, (K, B)."""
        if self.product:
            return self.product(weight, buffers.x).add_(bias[:, None])
        return torch.addmm(bias[:, None], weight, buffers.x.T, out=buffers.logits)

    def _buffers(self, size: int) -> _Buffers:
        width = self.inputs.shape[1]
        raw = None
        if (self.inputs.dtype, self.inputs.device) != (self.dtype, self.device):
            pinned = self.device.type == "cuda" and self.inputs.device.type == "cpu"
            raw = self.inputs.new_empty(size, width, pin_memory=pinned)
        return _Buffers(
            x=self._empty(size, width),
            raw=raw,
            logits=self._empty(self.classes, size),
            residual=self._empty(self.classes, size),
            minus_one=self._empty(size).fill_(-1),
        )

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def _choose_product(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return oneDNN's (A, B) ↦ A Bᵀ where it pays: on one machine, always the same choice."""
        large = self.batch_size * self.weight_gradient.numel() >= LARGE_PRODUCT
        return matmul.onednn(self.device, self.dtype) if large else None


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
