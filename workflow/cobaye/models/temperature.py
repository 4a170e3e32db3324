"""One temperature for a classifier's logits, fitted on validation images (Guo et al. 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# T stays within these bounds.
LOWEST, HIGHEST = 1e-3, 1e3
_BLOCK = 1024
_STEPS = 100
_TOLERANCE = 1e-10


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T that minimises the mean cross-entropy of logits / T.

    logits: (N, K); labels: (N,) int64; both on one device. In β = 1/T the mean is convex: its
    slope is the mean of E_p[d], its curvature the mean of Var_p[d], where d = z − z_y and
    p = softmax(β z). Newton's method, in float64, by blocks of images; a step that leaves the
    bracket of the minimum is replaced by the bracket's geometric mean.

    T is in [LOWEST, HIGHEST]. Where every image is right, the mean falls for ever with T, and T is
    LOWEST. Where the logits tell less than nothing (β ≤ 0 is best), T is HIGHEST. It is 1 where the
    logits of each image are equal, and NaN where a logit is not finite or there is no image.

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017,
    section 4.2).
    """
    if not len(labels) or not bool(torch.isfinite(logits).all()):
        return math.nan
    low, high = 1 / HIGHEST, 1 / LOWEST
    slope, curvature = _derivatives(logits, labels, low)
    if slope == curvature == 0:
        return 1.0
    if slope >= 0:
        return HIGHEST
    if _derivatives(logits, labels, high)[0] <= 0:
        return LOWEST
    beta = 1.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(logits, labels, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        last, beta = beta, beta - slope / curvature if curvature > 0 else math.inf
        if abs(beta - last) <= _TOLERANCE * last:
            break
        if not low < beta < high:
            beta = math.sqrt(low * high)
    return 1 / beta


def _derivatives(logits: Tensor, labels: Tensor, beta: float) -> tuple[float, float]:
    """Return slope and curvature in β of the mean cross-entropy of β · logits."""
    slope = curvature = 0.0
    for block, block_labels in zip(logits.split(_BLOCK), labels.split(_BLOCK), strict=True):
        apart = block.double()
        apart = apart - apart.gather(1, block_labels[:, None])
        shares = torch.softmax(beta * apart, dim=1).mul_(apart)
        means = shares.sum(dim=1)
        slope += means.sum().item()
        curvature += (shares.mul_(apart).sum() - means.square().sum()).item()
    return slope / len(labels), curvature / len(labels)
