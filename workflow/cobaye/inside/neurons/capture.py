"""One pass over images, layer by layer: all activations of a layer, then those of the next.

For networks whose forward pass is a sequence of layers. At most the inputs and the activations of
one layer are held, for all images; `walk` bounds their memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cobaye.errors import ConfigError

WEIGHTED = (nn.Conv2d, nn.Linear)
# Modules that belong to the layer before them: their outputs are its activations.
AFTER = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.Tanh)
BETWEEN = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Dropout, nn.Identity)
# Images at a time.
BATCH = 128


@dataclass
class _Chunk:
    """A weighted layer, with the modules before it and those after it that belong to it."""

    name: str
    kernel: nn.Conv2d | nn.Linear
    before: list[nn.Module]
    after: list[nn.Module] = field(default_factory=list)

    def prepared(self, inputs: Tensor) -> Tensor:
        return _through(self.before, inputs)

    def activated(self, inputs: Tensor) -> Tensor:
        return _through([self.kernel, *self.after], inputs)


@dataclass(frozen=True)
class Layer:
    """A layer's activations for N images; neurons are counted channel by channel, row by row.

    number: from 1. name: of the module. inputs: of the kernel, (N, C, H, W) or (N, d).
    activations: (N, n), after normalisation and activation function; of the last layer, which has
    none, the softmax. decisive: (N, n), above zero where a neuron is active: the activations, and
    of the last layer its logits.
    """

    number: int
    name: str
    kernel: nn.Conv2d | nn.Linear
    inputs: Tensor
    activations: Tensor
    decisive: Tensor

    def weights(self, neuron: int) -> Tensor:
        """Return the weights of a neuron's links, (d,)."""
        positions = self.activations.shape[1] // len(self.kernel.weight)
        return self.kernel.weight.detach()[neuron // positions].flatten()

    def vectors(self, neuron: int, images: int) -> Tensor:
        """Return the inputs of a neuron for the first images, (images, d); padding is zeros."""
        inputs = self.inputs[:images]
        if isinstance(self.kernel, nn.Linear):
            return inputs
        (height, width), (down, right) = self.kernel.kernel_size, self.kernel.stride
        above, before = self.kernel.padding
        columns = (inputs.shape[3] + 2 * before - width) // right + 1
        rows = (inputs.shape[2] + 2 * above - height) // down + 1
        row, column = divmod(neuron % (rows * columns), columns)
        top, left = row * down - above, column * right - before
        patch = inputs.new_zeros(len(inputs), inputs.shape[1], height, width)
        seen = inputs[:, :, max(top, 0) : top + height, max(left, 0) : left + width]
        y, x = max(-top, 0), max(-left, 0)
        patch[:, :, y : y + seen.shape[2], x : x + seen.shape[3]] = seen
        return patch.flatten(1)


def layers(network: nn.Module) -> dict[str, bool]:
    """Return the names of a network's layers, in order, and which are convolutions."""
    return {chunk.name: isinstance(chunk.kernel, nn.Conv2d) for chunk in _cut(network)}


def walk(
    network: nn.Module,
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    consume: Callable[[Layer], None],
    memory: float,
) -> None:
    """Hand each layer of a network in evaluation, in order, to `consume`.

    images: (N, *shape), raw; prepare: makes the network's inputs from a batch of them. memory: the
    bytes that the inputs and activations of a layer may take. Raises ConfigError, before anything
    is computed, if more are needed, or if the network is no sequence of layers.
    """
    with torch.inference_mode():
        chunks, shell = _cut(network), _shell(network)
        _check(network, shell, chunks, prepare(images[:2].clone()))
        _bound(chunks, shell(prepare(images[:1].clone())), len(images), memory)
        held = _batched(lambda batch: shell(prepare(batch)), images)
        for number, chunk in enumerate(chunks, start=1):
            held = _batched(chunk.prepared, held) if chunk.before else held
            outputs = _batched(chunk.activated, held)
            shown, decisive = outputs.flatten(1), outputs.flatten(1)
            if number == len(chunks):
                shown = decisive.softmax(dim=1)
            consume(Layer(number, chunk.name, chunk.kernel, held, shown, decisive))
            del shown, decisive
            held = outputs


def _cut(network: nn.Module) -> list[_Chunk]:
    """Return a network's layers."""
    chunks: list[_Chunk] = []
    before: list[nn.Module] = []
    for name, module in _sequence(network):
        if isinstance(module, WEIGHTED):
            if isinstance(module, nn.Conv2d) and not _is_plain(module):
                raise _refusal(network, f"{name} is a convolution of another kind")
            chunks.append(_Chunk(name, module, before))
            before = []
        elif isinstance(module, AFTER) and chunks and not before:
            chunks[-1].after.append(module)
        elif isinstance(module, AFTER + BETWEEN):
            before.append(module)
        else:
            raise _refusal(network, f"{name} is a {type(module).__name__}")
    if before or not chunks:
        raise _refusal(network, "its last layer is not linear")
    return chunks


def _sequence(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for part, module in network.named_children():
        if part not in ("body", "head", "norm"):
            raise _refusal(network, f"{part} is none of body, head and norm")
        if isinstance(module, nn.Sequential):
            yield from ((f"{part}.{name}", child) for name, child in module.named_children())
        else:
            yield part, module


def _is_plain(kernel: nn.Conv2d) -> bool:
    same = kernel.groups == 1 and kernel.dilation == (1, 1) and kernel.padding_mode == "zeros"
    return same and not isinstance(kernel.padding, str)


def _shell(network: nn.Module) -> nn.Module:
    """Return the part of a network's forward pass before the first layer (resize, flatten)."""
    shell = copy.copy(network)
    shell._modules = {name: nn.Identity() for name in network._modules}
    return shell


def _check(network: nn.Module, shell: nn.Module, chunks: list[_Chunk], inputs: Tensor) -> None:
    """Raise ConfigError unless the layers, one after another, give the network's outputs."""
    outputs = shell(inputs)
    for chunk in chunks:
        outputs = chunk.activated(chunk.prepared(outputs))
    expected = network(inputs)
    if not torch.allclose(outputs, expected, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise _refusal(network, "its layers, one after another, do not give its outputs")


def _refusal(network: nn.Module, why: str) -> ConfigError:
    return ConfigError(
        f"activations are read layer by layer of vgg16, convnet, mlp, linear and perceptron; "
        f"{type(network).__name__} is no such sequence of layers: {why}"
    )


def _bound(chunks: list[_Chunk], one: Tensor, images: int, memory: float) -> None:
    """Raise ConfigError if a layer takes too much memory, judging by one image."""
    for chunk in chunks:
        one = chunk.prepared(one)
        received, one = one.nbytes, chunk.activated(one)
        needed = images * (received + one.nbytes)
        if needed > memory:
            raise ConfigError(
                f"activations of {chunk.name} and what it receives take {needed / 1e6:,.0f} MB for "
                f"{images:,} images, and memory is {memory / 1e6:,.0f}: take fewer images, or more"
            )


def _batched(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Return a function's outputs, computed batch by batch, in a tensor allocated once."""
    outputs, start = None, 0
    for batch in inputs.split(BATCH):
        output = function(batch)
        if outputs is None:
            outputs = output.new_empty(len(inputs), *output.shape[1:])
        outputs[start : start + len(output)] = output
        start += len(output)
    return outputs


def _through(modules: list[nn.Module], inputs: Tensor) -> Tensor:
    for module in modules:
        inputs = module(inputs)
    return inputs
