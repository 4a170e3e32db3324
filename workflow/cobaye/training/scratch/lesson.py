"""The training loop: one image or one mini-batch at a time, and the best epoch kept."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from cobaye.training.scratch import functions
from cobaye.training.scratch.fully_connected import DeepNetwork, LinearNetwork
from cobaye.training.scratch.sgd import SGD
from cobaye.training.scratch.tensor import Tensor

Network = LinearNetwork | DeepNetwork
Loss = Literal["cross-entropy", "squared-error", "softmax-squared-error"]


class Data(NamedTuple):
    """images: (N, D) floating. labels: (N,) integers."""

    images: np.ndarray
    labels: np.ndarray


class Visited(NamedTuple):
    """What an epoch saw, each image when its batch was visited.

    losses: (N,), in the order of the data. hits: the number of labels with strictly the largest
    output. penalty: the mean of λ/2 ‖θ‖².
    """

    losses: np.ndarray
    hits: int
    penalty: float


class EpochRecord(NamedTuple):
    """One epoch of `train`; losses in nats, accuracies as shares."""

    loss: float
    train_accuracy: float
    val_accuracy: float


def epoch(
    network: Network,
    optimizer: SGD,
    data: Data,
    order: np.ndarray,
    batch_size: int,
    loss: Loss = "cross-entropy",
    generator: np.random.Generator | None = None,
) -> Visited:
    """Visit every image once in `order`, a permutation; batch_size 1 is one image at a time.

    Each step follows the gradient of the batch's *mean* loss. generator: of dropout, if any.
    """
    losses = np.empty(len(order), data.images.dtype)
    hits, penalty = 0, 0.0
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        labels = data.labels[batch]
        penalty += optimizer.penalty() * len(batch)
        outputs = network.forward(Tensor(data.images[batch]), generator)
        each = functions.LOSSES[loss](outputs, labels)
        optimizer.zero_grad()
        functions.mean(each).backward()
        optimizer.step()
        losses[batch] = each.data
        hits += int(_strictly_largest(outputs.data, labels).sum())
    return Visited(losses, hits, penalty / len(order))


def accuracy(network: Network, data: Data) -> float:
    """Return the share of images whose label has strictly the largest output."""
    return float(_strictly_largest(network.forward(Tensor(data.images)).data, data.labels).mean())


def train(
    network: Network,
    optimizer: SGD,
    training: Data,
    validation: Data,
    epochs: int,
    seed: int,
    batch_size: int = 1,
    loss: Loss = "cross-entropy",
) -> list[EpochRecord]:
    """Train a network and leave it at the first epoch of best validation accuracy.

    Returns a record per epoch; record 0 is before the first. Each epoch's order is drawn anew.
    """
    generator = np.random.default_rng(seed)
    first = accuracy(network, validation)
    rows = [EpochRecord(float("nan"), accuracy(network, training), first)]
    best, kept = first, [parameter.data.copy() for parameter in network.parameters()]
    for _ in range(epochs):
        order = generator.permutation(len(training.labels))
        visited = epoch(network, optimizer, training, order, batch_size, loss, generator)
        validated = accuracy(network, validation)
        rows.append(
            EpochRecord(float(visited.losses.mean()), accuracy(network, training), validated)
        )
        if validated > best:
            best, kept = validated, [parameter.data.copy() for parameter in network.parameters()]
    for parameter, data in zip(network.parameters(), kept, strict=True):
        parameter.data[...] = data
    return rows


def _strictly_largest(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tell, per image, whether its label's output is larger than all others; not if it is NaN."""
    label_outputs = outputs[np.arange(len(labels)), labels]
    return (outputs < label_outputs[:, None]).sum(axis=1) == outputs.shape[1] - 1
