"""Scores of a network on a split: the loss of each image, and the rank of its label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from cobaye import objective, recipes
from cobaye.data import splits
from cobaye.data.normalization import without_normalization
from cobaye.models import networks

# Rows per block: a block of logits then stays in a core's cache for a few hundred classes.
BLOCK = 512


@dataclass(frozen=True)
class Scores:
    """Scores of each image of a split by one checkpoint.

    loss: (N,) float32, the loss that the model was trained with. rank: (N,) int64, that of `ranks`
    (0: right; < 5: in the top five).
    """

    loss: np.ndarray
    rank: np.ndarray


def scores(
    logits: Iterator[torch.Tensor],
    labels: torch.Tensor,
    loss: objective.Loss = "cross-entropy",
) -> Scores:
    """Return the scores of blocks of outputs (n, K) that follow the order of labels (N,)."""
    losses, each_rank, start = [], [], 0
    for block in logits:
        block_labels = labels[start : start + len(block)]
        start += len(block)
        losses.append(objective.losses(block, block_labels, loss))
        each_rank.append(ranks(block, block_labels))
    return Scores(torch.cat(losses).cpu().numpy(), torch.cat(each_rank).cpu().numpy())


def probability_scores(
    logits: torch.Tensor, labels: torch.Tensor, temperature: float
) -> dict[str, torch.Tensor]:
    """Return what a classifier's probabilities are worth, image by image, from logits (n, K).

    Each is (n,), of the logits' dtype. ``scaled_loss``: cross-entropy of logits / T, in nats.
    ``brier``: Brier's score Σ_k (p_k − y_k)², from 0 to 2, at T = 1. ``confidence``,
    ``scaled_confidence``: the largest probability, at T = 1 and at T. A temperature that is NaN
    gives NaN.
    """
    scaled = torch.log_softmax(logits / temperature, dim=1)
    probabilities = torch.softmax(logits, dim=1)
    confidence = probabilities.amax(dim=1)
    own = labels[:, None]
    apart = probabilities.scatter(1, own, probabilities.gather(1, own) - 1)
    return {
        "scaled_loss": -scaled.gather(1, own)[:, 0],
        "brier": apart.square().sum(dim=1),
        "confidence": confidence,
        "scaled_confidence": scaled.amax(dim=1).exp(),
    }


def ranks(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return how many other classes' outputs (N, K) are not smaller than the label's, (N,) int64.

    0 is a correct image. A tie counts against it, and so does NaN.
    """
    # Counted in float32, exact below 2²⁴ classes: sums of bool take four times as long.
    smaller = torch.empty(outputs.shape, dtype=torch.float32, device=outputs.device)
    torch.lt(outputs, outputs.gather(1, labels[:, None]), out=smaller)
    return outputs.shape[1] - 1 - smaller.sum(dim=1).long()


def per_class(labels: np.ndarray, values: np.ndarray, classes: int) -> np.ndarray:
    """Return each class's mean of values (N,), in float64; NaN for a class without images."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=values, minlength=classes)
    return np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0)


class Forward:
    """A run's network, into which checkpoints are loaded one after another."""

    def __init__(self, model: recipes.Kind, shape: tuple[int, ...], classes: int, device: str):
        self.network = networks.build(model, shape, classes).to(device).eval()
        self.device = device

    def load(self, tensors: dict[str, torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Load a checkpoint; return its map from a block of raw inputs to logits."""
        weights, normalization = without_normalization(tensors)
        self.network.load_state_dict(weights)
        if normalization is None:
            return lambda block: self.network(block.to(self.device).float())
        normalization = normalization.to(self.device)
        return lambda block: self.network(normalization(block.to(self.device)))


def means(
    logits: Callable[[torch.Tensor], torch.Tensor],
    split: splits.Split,
    device: str,
    loss: objective.Loss = "cross-entropy",
    size: int = BLOCK,
) -> tuple[float, float]:
    """Return mean loss and accuracy of a split, by blocks of `size` images, as evaluate does."""
    blocks = (logits(rows) for rows in split.inputs.split(size))
    scored = scores(blocks, split.labels.to(device), loss)
    return float(scored.loss.mean(dtype=np.float64)), float((scored.rank == 0).mean())
