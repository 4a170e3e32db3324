"""Rivals for classes of unequal size, made from the heads that a study's runs left.

Each gets the λ and the temperature that suit it on val, so that it differs from `joint`, which has
these alone, by what its name says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cobaye.analyses import _rival_heads
from cobaye.analyses._rival_heads import Head, LambdaPath, Rival
from cobaye.models.scoring import scores

# Of the exponent or factor τ; 0 leaves a head as it is, but for the bias of τ-normalisation.
TAUS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
# The share of classes, or of images, that counts as the worst.
WORST = 0.1


def untrained(path: LambdaPath, counts: Tensor) -> list[Rival]:
    """Return the rivals. counts: (K,), the training images of each class."""
    return [
        logit_adjustment(path, counts),
        tau_normalized(path),
        chosen_by(path, "worst-tenth", worst_classes),
        chosen_by(path, "cvar", worst_images),
    ]


def logit_adjustment(path: LambdaPath, counts: Tensor) -> Rival:
    """Return z_c − τ log π_c (Menon et al. 2021, arXiv:2007.07314), π the classes' training shares.

    τ = 1 makes a calibrated classifier of the training images one for equally frequent classes.
    """
    shares = (counts / counts.sum()).double().log()

    def change(head: Head, tau: float) -> Head:
        return _rival_heads.affine(head, 1.0, -tau * shares)

    return _rival_heads.searched(path, "logit-adjustment", "τ", TAUS, change)


def tau_normalized(path: LambdaPath) -> Rival:
    """Return w_c / ‖w_c‖^τ without a bias (Kang et al. 2020, arXiv:1910.09217)."""

    def change(head: Head, tau: float) -> Head:
        weight = head["head.weight"].double()
        scaled = weight / weight.norm(dim=1, keepdim=True) ** tau
        return {**head, "head.weight": scaled, "head.bias": torch.zeros_like(head["head.bias"])}

    return _rival_heads.searched(path, "tau-normalized", "τ", TAUS, change)


def chosen_by(
    path: LambdaPath, name: str, risk: Callable[[np.ndarray, np.ndarray, int], float]
) -> Rival:
    """Return the single λ of the lowest risk on val, a mean over seeds; ties go to the larger λ.

    risk: of the losses (N,), the labels (N,) and K.
    """
    labels = path.val.labels.numpy()
    risks = {}
    for label in reversed(path.labels):
        heads = [path.head(label, seed) for seed in path.seeds(label)]
        losses = [scores([path.logits(head)], path.val.labels).loss for head in heads]
        risks[label] = np.mean([risk(each, labels, path.val.classes) for each in losses])
    label = min(risks, key=risks.get)
    heads = {seed: path.head(label, seed) for seed in path.seeds(label)}
    return Rival(name, f"λ = {label}", 1, heads)


def worst_classes(losses: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Return the mean over the tenth of the classes with the highest mean losses."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=losses, minlength=classes)
    return _highest(sums[counts > 0] / counts[counts > 0])


def worst_images(losses: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Return the mean over the tenth of the images with the highest losses, their CVaR.

    Rockafellar and Uryasev 2000, doi:10.21314/JOR.2000.038. The labels do not count.
    """
    return _highest(losses)


def _highest(values: np.ndarray) -> float:
    number = int(np.ceil(WORST * len(values)))
    return float(np.sort(values)[-number:].mean(dtype=np.float64))
