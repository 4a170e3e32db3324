"""A λ per class chosen with one backbone and used with another; how far two backbones agree.

The λ of a class moves with its distance from the best λ overall: log λ_c − log λ* of the backbone
that it was chosen with, added to log λ* of the other. The scale of λ is that of a backbone's
features, so distances carry over where values do not.
"""

from __future__ import annotations

import numpy as np


def moved(places: np.ndarray, reference: int, other: int, weight_decays: np.ndarray) -> np.ndarray:
    """Return the places on the grid, (K,), of λ chosen with another backbone.

    places: of the chosen λ, (K,). reference: of the best λ of their backbone. other: of the best λ
    of the backbone that they move to. weight_decays: the grid, (M,), rising. A moved λ becomes the
    nearest one of the grid in log λ. λ = 0 stays 0. Where a best λ is 0, all stay.
    """
    if reference == other or min(weight_decays[[reference, other]]) == 0:
        return places
    positive = np.flatnonzero(weight_decays > 0)
    logs = np.log10(weight_decays[positive])
    step = np.log10(weight_decays[other] / weight_decays[reference])
    chosen = weight_decays[places]
    wanted = np.log10(np.where(chosen > 0, chosen, 1)) + step
    nearest = positive[np.abs(wanted[:, None] - logs).argmin(axis=1)]
    return np.where(chosen > 0, nearest, places)


def log_decays(weight_decays: np.ndarray) -> np.ndarray:
    """Return log₁₀ λ of a rising grid, (M,); λ = 0 stands one step below the smallest other."""
    logs = np.log10(np.where(weight_decays > 0, weight_decays, 1))
    if len(logs) > 1 and weight_decays[0] == 0:
        logs[0] = 2 * logs[1] - logs[2] if len(logs) > 2 else logs[1] - 1
    return logs


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's r over classes of each row of (B, K) with each row of another, (B, B).

    NaN for a row without differences.
    """
    centred = [rows - rows.mean(axis=1, keepdims=True) for rows in (first, second)]
    lengths = [np.sqrt((rows**2).sum(axis=1)) for rows in centred]
    norms = [np.where(length > 0, length, np.nan) for length in lengths]
    return (centred[0] @ centred[1].T) / np.outer(*norms)


def corrected(halves: np.ndarray) -> np.ndarray:
    """Return the correlations between backbones of what is chosen for a class, less noise, (B, B).

    halves: (B, B), the mean over random halvings of `correlations` between what one backbone
    chooses from a half of each class's images and another from the other half. Spearman (1904):
    r_ab / √(r_aa r_bb), both orders of a and b averaged. The halves have no image in common, so
    their errors are independent, within and across backbones. NaN where a backbone's own halves do
    not agree (r ≤ 0). An estimate may be above 1.
    """
    own = np.diagonal(halves)
    own = np.sqrt(np.where(own > 0, own, np.nan))
    return (halves + halves.T) / 2 / np.outer(own, own)


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Return the entries of (B, B) that are not on the diagonal, (B (B − 1),)."""
    return matrix[~np.eye(len(matrix), dtype=bool)]
