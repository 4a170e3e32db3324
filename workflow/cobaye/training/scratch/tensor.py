"""Automatic differentiation: arrays that remember which arrays they were made from.

A function of tensors returns a tensor that holds its result, its ancestors, and how a gradient with
respect to the result becomes one with respect to each ancestor. The chain rule is then a walk from
the loss back to the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Pullback = Callable[[np.ndarray], Sequence[np.ndarray | None]]


class Tensor:
    """An array, and where it came from.

    data: float64 or float32. ancestors: the tensors it was computed from. pullback: from ∂L/∂data
    to ∂L/∂ancestor for each of them, None for one that needs none. gradient: ∂L/∂data, of the shape
    of `data`, once `backward` has been here; None before.
    """

    def __init__(
        self,
        data: np.ndarray,
        ancestors: Sequence[Tensor] = (),
        pullback: Pullback | None = None,
    ):
        self.data = np.asarray(data)
        self.ancestors, self.pullback = ancestors, pullback
        self.gradient: np.ndarray | None = None

    def backward(self, gradient: float | np.ndarray = 1.0) -> None:
        """Add ∂L/∂data to the gradient of this tensor and of everything that it came from.

        gradient: ∂L/∂data of this tensor itself, 1 where it is L.
        """
        self._add(np.broadcast_to(np.asarray(gradient, self.data.dtype), self.data.shape))
        # A tensor passes its gradient on once all its uses have contributed to it.
        for tensor in reversed(self._history()):
            if tensor.pullback is None:
                continue
            gradients = tensor.pullback(tensor.gradient)
            for ancestor, each in zip(tensor.ancestors, gradients, strict=True):
                if each is not None:
                    ancestor._add(each)

    def _add(self, gradient: np.ndarray) -> None:
        self.gradient = gradient if self.gradient is None else self.gradient + gradient

    def _history(self) -> list[Tensor]:
        """Return this tensor and all it came from, each after its ancestors."""
        order: list[Tensor] = []
        seen: set[int] = set()
        waiting = [(self, False)]
        while waiting:
            tensor, is_done = waiting.pop()
            if is_done:
                order.append(tensor)
            elif id(tensor) not in seen:
                seen.add(id(tensor))
                waiting.append((tensor, True))
                waiting.extend((ancestor, False) for ancestor in tensor.ancestors)
        return order


class Parameter(Tensor):
    """A tensor with a name, that training changes."""

    def __init__(self, name: str, data: np.ndarray):
        super().__init__(data)
        self.name = name


class Module:
    """What has parameters: as attributes, in lists, or inside other modules."""

    def parameters(self) -> list[Parameter]:
        """Return all parameters, in the order in which they were set."""
        return list(_parameters(vars(self).values()))


def _parameters(values: object) -> Iterator[Parameter]:
    for value in values:
        if isinstance(value, Parameter):
            yield value
        elif isinstance(value, Module):
            yield from value.parameters()
        elif isinstance(value, list | tuple):
            yield from _parameters(value)
