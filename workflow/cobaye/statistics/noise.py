"""The noise of class means: covariances over λ, where single classes have few images."""

from __future__ import annotations

import numpy as np

from cobaye.statistics.sample import Sample


def sampling(differences: Sample) -> np.ndarray:
    """Return the covariance of each class's mean, (K, M, M); NaN for a class of one image."""
    return differences.covariances / differences.counts[:, None, None]


def pooled(
    covariances: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean covariance of a class's mean, and P, that of an image, (B, M, M) both.

    covariances: `sampling`. weights: (B, K), how often each class counts. P is such that the mean
    of P/n_c over the classes of two images or more is that of their own covariances; 0 without such
    classes. A class of one image has P.
    """
    two, width = counts > 1, covariances.shape[-1]
    number = np.maximum(weights[:, two].sum(axis=1), 1e-300)[:, None, None]
    flat = covariances[two].reshape(-1, width**2)
    own = (weights[:, two] @ flat).reshape(-1, width, width) / number
    inverse = (weights[:, two] @ (1 / counts[two]))[:, None, None] / number
    image = np.divide(own, inverse, out=np.zeros_like(own), where=inverse > 0)
    single = (weights[:, ~two].sum(axis=1) / weights.sum(axis=1))[:, None, None]
    return (1 - single) * own + single * image, image


def mixed(differences: Sample) -> np.ndarray:
    """Return the covariances of the class means, (K, M, M), each steadied by the other classes'.

    A class's own covariance and P are mixed in the ratio of n − 1 to the number of λ. Every class
    has an image or more.
    """
    counts, width = differences.counts, differences.values.shape[1]
    covariances = sampling(differences)
    n = counts[:, None, None].astype(float)
    own = np.where(n > 1, n * covariances, 0)
    image = pooled(covariances, counts, np.ones((1, len(counts))))[1][0]
    return ((n - 1) * own + width * image) / (n - 1 + width) / n


def power(matrices: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of symmetric matrices, (…, M, M); eigenvalues not above rounding give 0.

    Of a covariance, exponent ½ is a root R with R Rᵀ = the covariance.
    """
    values, vectors = np.linalg.eigh(matrices)
    counts = values > 1e-12 * values.max(axis=-1, keepdims=True, initial=0)
    powers = np.where(counts, np.where(counts, values, 1) ** exponent, 0)
    return (vectors * powers[..., None, :]) @ np.swapaxes(vectors, -1, -2)
