"""Layca: every step turns each layer's weights by an angle that the learning rate alone decides.

A layer's weights are a kernel tensor w, of two or more dimensions. With the step −s that SGD or
Adam would take at a learning rate of 1, momentum and gradient of the penalty included,

    u ← s − (s·w / ‖w‖²) w          what s has orthogonal to w
    u ← u ‖w‖ / ‖u‖                 0 where ‖u‖ ≤ 1e-7
    v ← w − α u                     the angle between v and w is arctan α
    w ← v ‖w‖ / ‖v‖                 so norms stay, but for rounding

(Carbonnelle and De Vleeschouwer, Layer rotation: a surprisingly powerful indicator of
generalization in deep networks?, 2019; its first version, On layer-level control of DNN training,
2018: arXiv:1806.01603). Momenta are those of SGD or Adam, not projected. Biases and the
scales of normalisation layers take the plain step at the rate α.

``alpha`` multiplies the rate of layer l = 0 … L − 1, in the order of the network's kernels, by
(1 − alpha)^(5 (L − 1 − l) / (L − 1)) where alpha > 0, so that the last layers are faster, or by
(1 + alpha)^(5 l / (L − 1)) where it is < 0, so that the first are (the same paper).
It does so with ``enabled: false`` as well, where steps are those of SGD or Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from cobaye.training.optimizers import _options
from cobaye.training.optimizers._eager import eager

SGD, Adam = eager(torch.optim.SGD), eager(torch.optim.Adam)
# Steps that are no longer than this have no direction worth following (S2.5).
SMALLEST = 1e-7


@dataclass(frozen=True)
class Options:
    """The base whose steps are corrected, its options, and rates by layer."""

    #: Whose steps are corrected.
    base: Literal["sgd", "adam"] = "sgd"
    #: Momentum of the base `sgd`.
    momentum: float = 0.9
    #: Whether the base `sgd` takes Nesterov's steps.
    nesterov: bool = False
    #: Factor of the running mean of g, of the base `adam`.
    beta1: float = 0.9
    #: Factor of the running mean of g², of the base `adam`.
    beta2: float = 0.999
    #: Added to its root, of the base `adam`.
    eps: float = 1e-8
    #: `false`: the base itself.
    enabled: bool = True
    #: Spreads the learning rates over the layers: below.
    alpha: float = 0.0

    def __post_init__(self):
        _options.below_one(self, "momentum", "beta1", "beta2")
        if self.nesterov and (self.base == "adam" or self.momentum == 0):
            raise ValueError("nesterov needs base sgd and a momentum")
        _options.not_negative(self, "eps")
        if not -1 < self.alpha < 1:
            raise ValueError(f"alpha must be in (-1, 1), not {self.alpha}")


class _Turn:
    """One group's kernels, whose base steps from zero at a rate of 1, so that its step is seen."""

    def __init__(self, group: dict[str, Any]):
        self.group, self.rate = group, group["lr"]
        pairs = zip(group["params"], group["multipliers"], strict=True)
        moved = [pair for pair in pairs if pair[0].grad is not None]
        self.kernels = [kernel for kernel, _ in moved]
        self.rates = [group["lr"] * multiplier for _, multiplier in moved]
        self.weights = [kernel.clone() for kernel in self.kernels]
        if group["weight_decay"]:  # the base's own finds nothing to decay
            slopes = [kernel.grad for kernel in self.kernels]
            torch._foreach_add_(slopes, self.weights, alpha=group["weight_decay"])
        torch._foreach_zero_(self.kernels)
        group["lr"] = 1.0

    def finish(self) -> None:
        """Make the kernels, which are the base's −s now, what the formulas above say."""
        self.group["lr"] = self.rate
        weights, steps = self.weights, self.kernels
        tiny = torch.finfo(weights[0].dtype).tiny
        norms = torch.stack(torch._foreach_norm(weights))
        products = torch._foreach_mul(weights, steps)
        along = torch.stack([each.sum() for each in products]) / (norms * norms).clamp(min=tiny)
        torch._foreach_sub_(steps, torch._foreach_mul(weights, list(along)))
        lengths = torch.stack(torch._foreach_norm(steps))
        scales = norms * norms.new_tensor(self.rates) / lengths
        scales = torch.where(lengths <= SMALLEST, torch.zeros_like(scales), scales)
        torch._foreach_mul_(steps, list(scales))
        torch._foreach_add_(steps, weights)
        after = torch.stack(torch._foreach_norm(steps)).clamp(min=tiny)
        torch._foreach_mul_(steps, list(norms / after))


def _moves(group: dict[str, Any]) -> bool:
    return "multipliers" in group and any(p.grad is not None for p in group["params"])


class _Layca:
    """The steps of a torch optimizer, those of groups with `multipliers` corrected."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; λ of the groups that are corrected is added to their gradients."""
        with torch.enable_grad():
            result = closure() if closure else None
        turns = [_Turn(group) for group in self.param_groups if _moves(group)]
        super().step()
        for turn in turns:
            turn.finish()
        return result


class _Paced:
    """The steps of a torch optimizer, whose groups with `multipliers` hold one kernel each."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step."""
        own = [group for group in self.param_groups if "multipliers" in group]
        rates = [group["lr"] for group in own]
        for group in own:
            group["lr"] *= group["multipliers"][0]
        result = super().step(closure)
        for group, rate in zip(own, rates, strict=True):
            group["lr"] = rate
        return result


class _LaycaSGD(_Layca, SGD):
    pass


class _LaycaAdam(_Layca, Adam):
    pass


class _PacedSGD(_Paced, SGD):
    pass


class _PacedAdam(_Paced, Adam):
    pass


def multipliers(layers: int, alpha: float) -> list[float]:
    """Return what the rate of each layer is multiplied by (see above); 1 for a single layer."""
    last = max(layers - 1, 1)
    if alpha > 0:
        return [(1 - alpha) ** (5 * (layers - 1 - layer) / last) for layer in range(layers)]
    return [(1 + alpha) ** (5 * layer / last) for layer in range(layers)]


def build(
    groups: Iterable[dict[str, Any]], options: Options, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the optimizer; its groups hold kernels, or biases and scales, but not both.

    Without correction and multipliers it is torch's own, its groups as they are given.
    """
    given: dict[str, Any] = {"lr": learning_rate}
    if options.base == "sgd":
        plain, paced, layca = SGD, _PacedSGD, _LaycaSGD
        given |= {"momentum": options.momentum, "nesterov": options.nesterov}
    else:
        plain, paced, layca = Adam, _PacedAdam, _LaycaAdam
        given |= {"betas": (options.beta1, options.beta2), "eps": options.eps}
    if options.enabled:
        return layca(_parted(groups, options.alpha, one_each=False), **given)
    if options.alpha:
        return paced(_parted(groups, options.alpha, one_each=True), **given)
    return plain(groups, **given)


def _parted(groups: Iterable[dict[str, Any]], alpha: float, one_each: bool) -> list[dict[str, Any]]:
    """Return groups with their kernels apart, all of a group or one by one, and multipliers."""
    groups = list(groups)
    kernels = [[p for p in group["params"] if p.ndim > 1] for group in groups]
    found = iter(multipliers(sum(map(len, kernels)), alpha))
    made = []
    for group, own in zip(groups, kernels, strict=True):
        for part in [[p] for p in own] if one_each else [own]:
            if part:
                made.append({**group, "params": part, "multipliers": [next(found) for _ in part]})
        if rest := [p for p in group["params"] if p.ndim <= 1]:
            made.append({**group, "params": rest})
    return made
