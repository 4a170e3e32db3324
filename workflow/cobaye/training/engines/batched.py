"""Epochs of many small networks trained together: one pass over the batches trains them all.

With batches of four images a step is all overhead, the same for one network as for twenty. So
networks of equal depth and activation share their batches, in the columns of X (D, B):

    A₁ = [W₁ … W_M] X        the first layers as one product, stacked along their outputs
    Aₗ = Wₗ φ(Aₗ₋₁)           per width one batched product over the networks of that width
    δ = (softmax(A_L) − Y) / B,   ∂J/∂Wₗ = δₗ φ(Aₗ₋₁)ᵀ,   δₗ₋₁ = (Wₗᵀ δₗ) ⊙ φ′(Aₗ₋₁)

Nothing is padded. All parameters lie in one array, so that a step of SGD, with a learning rate, a
momentum and a λ for each network, is a few calls. Losses are computed from the stored outputs of
many batches at once. A network trained so differs from one trained alone by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cobaye import objective, recipes
from cobaye.data.normalization import Normalization
from cobaye.data.splits import Split
from cobaye.storage.mapped_rows import take
from cobaye.training.engines import Epoch
from cobaye.training.engines._stacked import Buffers, Stack, copy, matching

# Outputs and inputs of so many batches are held at once: about 32 MiB of each.
HELD = 8_000_000


class Engine:
    """Mini-batch SGD on the cross-entropy of networks of linear layers, all at once.

    Parameters
    ----------
    members : a recipe per network; only widths, learning rate, momentum and λ may differ.
    networks : at their initial weights: linear layers, a ReLU or tanh between them.
    split : inputs (N, *shape) and labels (N,). normalization : of images.
    """

    def __init__(
        self,
        members: Sequence[recipes.Training],
        networks: Sequence[torch.nn.Module],
        split: Split,
        normalization: Normalization | None,
        device: str,
    ):
        self.members, self.split, self.device = members, split, device
        self.dtype = getattr(torch, members[0].precision)
        self.batch_size = members[0].optimizer.batch_size
        self.tanh = members[0].model.options.get("activation") == "tanh"
        self.prepare = normalization.to(device) if normalization else torch.Tensor.float
        self.stack = Stack(networks, self.dtype, device)
        self.theta, self.gradient = self.stack.theta, self.stack.gradient
        self.layers, self.classes = self.stack.layers, self.stack.classes
        self.rates, self.momenta, self.decays = (torch.zeros_like(self.theta) for _ in range(3))
        for number, recipe in enumerate(members):
            options = recipe.optimizer.algorithm.options
            self._fill(self.momenta, number, options["momentum"])
            self._fill(self.decays, number, recipe.weight_decay, penalised_only=True)
        self.nesterov = members[0].optimizer.algorithm.options["nesterov"]
        self.velocity = torch.zeros_like(self.theta) if self.momenta.any() else None
        self.has_decay = bool(self.decays.any())
        self.buffers: dict[int, Buffers] = {}

    def _fill(
        self, flat: Tensor, number: int, value: float, *, penalised_only: bool = False
    ) -> None:
        with_bias = self.members[number].penalize_bias or not penalised_only
        for name, view in self.stack.tensors(number, flat).items():
            if objective.is_penalised(name, view, penalize_bias=with_bias):
                view.fill_(value)

    def tensors(self, number: int) -> dict[str, Tensor]:
        """Return a network's parameters by name."""
        return self.stack.tensors(number)

    def state(self) -> dict[str, Tensor]:
        """Return the velocities of all networks, if any has a momentum."""
        return {} if self.velocity is None else {"velocity": self.velocity}

    def restore(self, tensors: Sequence[dict[str, Tensor]], state: dict[str, Tensor]) -> None:
        """Take over each network's weights, and the velocities."""
        for number, each in enumerate(tensors):
            copy(each, self.tensors(number))
        copy(state, self.state())

    @torch.no_grad()
    def epoch(self, order: Tensor, learning_rates: Sequence[float]) -> list[Epoch]:
        """Visit every image once, in `order` (N,) int64; return what was seen, network by network.

        learning_rates: one per network. A network that diverges does not disturb the others.
        """
        for number, rate in enumerate(learning_rates):
            self._fill(self.rates, number, -rate)
        count, images = len(self.members), len(order)
        sums = torch.zeros(3, count, dtype=torch.float64, device=self.device)
        for rows, inputs, labels in self._chunks(order):
            batches = -(-len(rows) // self.batch_size)
            outputs = self.theta.new_empty(batches, count * self.classes, self.batch_size)
            targets = torch.nn.functional.one_hot(labels, self.classes).T.to(self.dtype)
            for number in range(batches):
                batch = slice(number * self.batch_size, (number + 1) * self.batch_size)
                target = targets[:, batch]
                if self.has_decay:
                    sums[2] += self._penalties() * target.shape[1]
                self._step(inputs[batch], target, outputs[number])
            sums[:2] += self._seen(outputs, labels)
        means = (sums / images)[:, torch.tensor(self.stack.order).argsort()].T.tolist()
        return [Epoch(loss, penalty, accuracy, None) for loss, accuracy, penalty in means]

    def _chunks(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield numbers, inputs (n, D) and labels of images, as many batches as HELD allows."""
        width = max(self.split.inputs[:1].numel(), len(self.members) * self.classes)
        size = max(1, HELD // (width * self.batch_size)) * self.batch_size
        for rows in order.split(size):
            raw = self.split.inputs.new_empty(len(rows), *self.split.inputs.shape[1:])
            take(self.split.inputs, rows, raw)
            inputs = self.prepare(raw.to(self.device)).flatten(1).to(self.dtype)
            yield rows, inputs, self.split.labels[rows].to(self.device)

    def _step(self, inputs: Tensor, targets: Tensor, kept: Tensor) -> None:
        """Take one step; leave the outputs, before it, in `kept` (networks · K, batch size)."""
        batch = len(inputs)
        if batch not in self.buffers:
            self.buffers[batch] = Buffers(self.layers, batch, self.theta)
        buffers = self.buffers[batch]
        self._forward(inputs, buffers)
        kept[:, :batch] = buffers.outputs[-1]
        shape = (-1, self.classes, batch)
        delta = buffers.deltas[-1].view(shape)
        torch.softmax(buffers.outputs[-1].view(shape), 1, out=delta)
        delta.sub_(targets).mul_(1 / batch)
        self._backward(inputs, buffers)
        self._update()

    def _forward(self, inputs: Tensor, buffers: Buffers) -> None:
        outputs, in_blocks = buffers.outputs, buffers.in_blocks[0]
        first = self.layers[0]
        torch.addmm(first.bias[:, None], first.weight, inputs.T, out=outputs[0])
        for depth, layer in enumerate(self.layers[1:], start=1):
            (torch.tanh_ if self.tanh else torch.relu_)(outputs[depth - 1])
            for block, hidden, out in zip(
                layer.blocks, in_blocks[depth - 1], in_blocks[depth], strict=True
            ):
                torch.baddbmm(block.bias[:, :, None], block.weight, hidden, out=out)

    def _backward(self, inputs: Tensor, buffers: Buffers) -> None:
        outputs, deltas = buffers.in_blocks
        for depth in range(len(self.layers) - 1, 0, -1):
            layer = self.layers[depth]
            torch.sum(buffers.deltas[depth], 1, out=layer.bias_gradient)
            for block, hidden, delta, below in zip(
                layer.blocks, outputs[depth - 1], deltas[depth], deltas[depth - 1], strict=True
            ):
                torch.bmm(delta, hidden.mT, out=block.weight_gradient)
                torch.bmm(block.weight.mT, delta, out=below)
            self._through_activation(buffers.outputs[depth - 1], buffers.deltas[depth - 1])
        torch.sum(buffers.deltas[0], 1, out=self.layers[0].bias_gradient)
        torch.mm(buffers.deltas[0], inputs, out=self.layers[0].weight_gradient)

    def _through_activation(self, values: Tensor, delta: Tensor) -> None:
        """Multiply a gradient, in place, by φ′ at the activations φ."""
        if self.tanh:
            torch.ops.aten.tanh_backward.grad_input(delta, values, grad_input=delta)
        else:
            torch.ops.aten.threshold_backward.grad_input(delta, values, 0, grad_input=delta)

    def _update(self) -> None:
        """Step as torch's SGD does."""
        step = self.gradient
        if self.has_decay:
            step.addcmul_(self.theta, self.decays)
        if self.velocity is not None:
            self.velocity.mul_(self.momenta).add_(step)
            step = step.addcmul_(self.velocity, self.momenta) if self.nesterov else self.velocity
        self.theta.addcmul_(step, self.rates)

    def _penalties(self) -> Tensor:
        """Return λ/2 ‖θ‖² of each network, in the order of the layout, float64."""
        penalties = torch.zeros(len(self.members), dtype=torch.float64, device=self.device)
        terms = (self.theta * self.theta).mul_(self.decays).div_(2)
        for layer in self.layers:
            for block in layer.blocks:
                networks = slice(block.first, block.first + block.count)
                for stacked in (block.weight, block.bias):
                    each = matching(terms, stacked).view(block.count, -1)
                    penalties[networks] += each.sum(1, dtype=torch.float64)
        return penalties

    def _seen(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return, per network, the sum of the losses and the number of hits, (2, networks)."""
        batches, _, size = outputs.shape
        rows = outputs.view(batches, -1, self.classes, size).permute(1, 0, 3, 2)
        rows = rows.reshape(len(self.members), -1, self.classes)[:, : len(labels)]
        index = labels.expand(len(rows), -1)[:, :, None]
        losses = -rows.log_softmax(2).gather(2, index)[:, :, 0]
        hits = (rows < rows.gather(2, index)).sum(2) == self.classes - 1
        return torch.stack([losses.sum(1, dtype=torch.float64), hits.sum(1).double()])


build_together = Engine
