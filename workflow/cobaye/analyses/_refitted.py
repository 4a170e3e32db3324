"""Logits refitted on val: temperature and bias per class of one head, and the mix of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cobaye.class_decay import descent
from cobaye.models.temperature import fit_temperature
from cobaye.objective import conditional_logit

FOLDS = 5
# Of a bias: standard deviations of its prior, in nats, to choose from; 0 is no bias.
DEVIATIONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
# Of the weight of a head: so wide that it decides only where the images do not.
WEIGHT_DEVIATION = 10.0
BLOCK = 512


class Bias(NamedTuple):
    """z ↦ weight · z + bias (K,). deviation: of the bias's prior, chosen by cross-validation."""

    weight: float
    bias: Tensor
    deviation: float


def bias(logits: Tensor, labels: Tensor, seed: int = 0) -> Bias:
    """Return the temperature and the bias per class that suit held-out logits (N, K).

    The deviation of the prior is that of lowest mean loss over FOLDS folds; ties go to the smaller.
    """
    fold = torch.from_numpy(descent.dealt(labels.numpy(), FOLDS, seed))
    losses = torch.zeros(FOLDS, len(DEVIATIONS), dtype=torch.float64)
    for number in range(FOLDS):
        kept, left = fold != number, fold == number
        for place, deviation in enumerate(DEVIATIONS):
            found = _biased(logits[kept], labels[kept], deviation)
            losses[number, place] = loss(logits[left], labels[left], found.weight, found.bias)
    return _biased(logits, labels, DEVIATIONS[int(losses.mean(0).argmin())])


def _biased(logits: Tensor, labels: Tensor, deviation: float) -> Bias:
    classes = logits.shape[1]
    if not deviation:
        zero = torch.zeros(classes, dtype=torch.float64)
        return Bias(1 / fit_temperature(logits, labels), zero, 0.0)
    centre = torch.cat((torch.ones(1), torch.zeros(classes)))
    spread = torch.cat((torch.full((1,), WEIGHT_DEVIATION), torch.full((classes,), deviation)))
    theta = conditional_logit.fit(lambda: _blocks(logits[:, None], labels), centre, spread)
    return Bias(theta[0].item(), theta[1:], deviation)


def loss(logits: Tensor, labels: Tensor, weight: float, bias: Tensor | float = 0.0) -> float:
    """Return the mean cross-entropy of weight · z + bias, in float64, by blocks of images."""
    total = 0.0
    for block, own in zip(logits.split(BLOCK), labels.split(BLOCK), strict=True):
        refitted = weight * block.double() + bias
        total += torch.nn.functional.cross_entropy(refitted, own, reduction="sum").item()
    return total / len(labels)


def _blocks(scores: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(scores.split(BLOCK), labels.split(BLOCK), strict=True)


def mix(
    scores: Callable[[], Iterator[Tensor]], labels: Tensor, centre: Sequence[float], kept: int
) -> Tensor:
    """Return a weight per head, (M,) float64, that suit held-out logits together.

    scores: yields the logits (B, M, K) of blocks of images. They are kept in memory if they are at
    most `kept` numbers, and computed anew at each visit else. centre: of the prior.
    """
    numbers = len(labels) * next(scores())[0].numel()
    held = list(scores()) if numbers <= kept else None

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for block in held or scores():
            yield block, labels[start : start + len(block)]
            start += len(block)

    middle = torch.tensor(centre, dtype=torch.float64)
    return conditional_logit.fit(blocks, middle, torch.full_like(middle, WEIGHT_DEVIATION))
