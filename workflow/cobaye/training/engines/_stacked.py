"""Memory of many networks: their parameters, and buffers for a step.

Parameters lie layer by layer, networks of equal widths next to each other, so that each layer of
such networks is one stack.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Block:
    """One layer of the networks first … first + count − 1, which have equal widths.

    weight: (count, outputs, inputs). bias: (count, outputs). Both, and their gradients, are views
    on all parameters. start: the first of the layer's outputs that are theirs.
    """

    first: int
    count: int
    start: int
    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor

    @property
    def places(self) -> slice:
        """The networks' outputs among those of the layer."""
        return slice(self.start, self.start + self.bias.numel())


class Layer:
    """One layer of all networks. weight: (rows, D) in the first, where all inputs are the same."""

    def __init__(self, sizes: Sequence[tuple[int, int, int]], flat: Tensor, gradient: Tensor):
        weights = sum(count * outputs * inputs for count, outputs, inputs in sizes)
        rows = sum(count * outputs for count, outputs, _ in sizes)
        self.size, self.outputs = weights + rows, rows
        self.bias, self.bias_gradient = flat[weights : self.size], gradient[weights : self.size]
        self.blocks: list[Block] = []
        first = place = start = 0
        for count, outputs, inputs in sizes:
            weights_size, shape = count * outputs * inputs, (count, outputs, inputs)
            biases = slice(start, start + count * outputs)
            self.blocks.append(
                Block(
                    first,
                    count,
                    start,
                    flat[place : place + weights_size].view(shape),
                    self.bias[biases].view(count, outputs),
                    gradient[place : place + weights_size].view(shape),
                    self.bias_gradient[biases].view(count, outputs),
                )
            )
            first, place, start = first + count, place + weights_size, start + count * outputs
        if len({inputs for _, _, inputs in sizes}) == 1:
            self.weight = flat[:weights].view(rows, -1)
            self.weight_gradient = gradient[:weights].view(rows, -1)


class Buffers:
    """Memory for batches of one size: outputs and their gradients, layer by layer."""

    def __init__(self, layers: Sequence[Layer], batch: int, like: Tensor):
        self.outputs = [like.new_empty(layer.outputs, batch) for layer in layers]
        self.deltas = [like.new_empty(layer.outputs, batch) for layer in layers]
        self.in_blocks = [
            self._views(layers, buffers, batch) for buffers in (self.outputs, self.deltas)
        ]

    @staticmethod
    def _views(
        layers: Sequence[Layer], buffers: Sequence[Tensor], batch: int
    ) -> list[list[Tensor]]:
        """Return the views (count, outputs, batch) on a buffer, per layer and block."""
        return [
            [buffer[block.places].view(*block.bias.shape, batch) for block in layer.blocks]
            for layer, buffer in zip(layers, buffers, strict=True)
        ]


class Stack:
    """All parameters of networks of equal depth in one array, and their gradient in another.

    networks: linear layers with biases. order: their numbers in the order of the array.
    """

    def __init__(self, networks: Sequence[torch.nn.Module], dtype: torch.dtype, device: str):
        given = [dict(network.state_dict()) for network in networks]
        shapes = [tuple(t.shape for t in each.values() if t.ndim == 2) for each in given]
        self.order = sorted(range(len(given)), key=shapes.__getitem__)
        alike = [(shape, len(list(run))) for shape, run in groupby(sorted(shapes))]
        size = sum(tensor.numel() for each in given for tensor in each.values())
        self.theta = torch.zeros(size, dtype=dtype, device=device)
        self.gradient = torch.zeros_like(self.theta)
        self.layers: list[Layer] = []
        start = 0
        for depth in range(len(shapes[0])):
            sizes = [(count, *shape[depth]) for shape, count in alike]
            self.layers.append(Layer(sizes, self.theta[start:], self.gradient[start:]))
            start += self.layers[-1].size
        self.names = [list(each) for each in given]
        self.classes = shapes[0][-1][0]
        for number, tensors in enumerate(given):
            copy(tensors, self.tensors(number))

    def tensors(self, number: int, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Return a network's parameters by name: views on `flat`, an array of the same layout."""
        place, views = self.order.index(number), []
        for layer in self.layers:
            block = next(b for b in layer.blocks if b.first <= place < b.first + b.count)
            for stacked in (block.weight, block.bias):
                view = stacked[place - block.first]
                views.append(view if flat is None else matching(flat, view))
        return dict(zip(self.names[number], views, strict=True))


def matching(flat: Tensor, view: Tensor) -> Tensor:
    """Return the view on `flat` that lies where another lies in the array of all parameters."""
    return flat[view.storage_offset() :][: view.numel()].view(view.shape)


def copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors by name into others."""
    for name, tensor in target.items():
        tensor.copy_(source[name])
