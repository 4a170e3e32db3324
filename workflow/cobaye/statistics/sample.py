"""Values of images, sorted by class: class means, and those of bootstraps and halves.

No loop runs over images. A draw is a sparse matrix of counts (classes × images); many draws are
stacked into one, and its product with the values (images × columns) gives all sums at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

# Images of one block of draws: bounds its memory (about 24 bytes each, and a few times that).
BLOCK = 2_000_000


@dataclass(frozen=True)
class Sample:
    """Values of images, sorted by class.

    values: (N, M) float64, one row per image, such as its loss at each λ. counts: (K,) int64, how
    many images each class has; 0 is allowed.
    """

    values: np.ndarray
    counts: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """The first row of each class, (K,)."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of each row, (N,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def means(self) -> np.ndarray:
        """Each class's mean, (K, M); NaN for a class without images."""
        return _divided(self.sums(self.values), self.counts)

    @cached_property
    def covariances(self) -> np.ndarray:
        """Each class's unbiased covariance over the columns, (K, M, M); NaN below two images."""
        centred = self.values - self.means[self.labels]
        width = centred.shape[1]
        upper = np.triu_indices(width)
        sums = np.stack(
            [self.sums(centred[:, i] * centred[:, j]) for i, j in zip(*upper, strict=True)], axis=1
        )
        result = np.empty((len(self.counts), width, width))
        result[:, upper[0], upper[1]] = _divided(sums, self.counts - 1)
        result[:, upper[1], upper[0]] = result[:, upper[0], upper[1]]
        return result

    @cached_property
    def variances(self) -> np.ndarray:
        """Each class's unbiased variance of each column, (K, M); NaN below two images."""
        centred = self.values - self.means[self.labels]
        return _divided(self.sums(centred**2), self.counts - 1)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums over each class of values (N,) or (N, M) that follow the rows."""
        order = sparse.csr_array(
            (np.ones(len(values)), np.arange(len(values)), self._pointers(1)),
            shape=(len(self.counts), len(values)),
        )
        return order @ values

    def with_values(self, values: np.ndarray) -> Sample:
        """Return the same images with other values, (N, M)."""
        return Sample(values, self.counts)

    def relative_to(self, column: int) -> Sample:
        """Return the differences from one column, paired by image."""
        return self.with_values(self.values - self.values[:, [column]])

    def selected(self, classes: np.ndarray) -> Sample:
        """Return the sample of some classes, (K,) bool."""
        return Sample(self.values[classes[self.labels]], self.counts[classes])

    def joined(self, other: Sample) -> Sample:
        """Return the images of both samples, of the same classes and columns."""
        labels = np.concatenate([self.labels, other.labels])
        return by_class(np.concatenate([self.values, other.values]).T, labels, len(self.counts))

    def centred_on(self, centres: np.ndarray) -> Sample:
        """Return the images about other class means, (K, M), stretched by √(n/(n − 1)).

        A bootstrap of n images is too narrow by as much. A class of one image has no spread.
        """
        stretch = np.sqrt(self.counts / np.maximum(self.counts - 1, 1))[self.labels, None]
        residuals = self.values - self.means[self.labels]
        return self.with_values(centres[self.labels] + stretch * residuals)

    def resampled(self, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the class means, (b, K, M), of bootstrap draws within each class.

        The blocks hold ``draws`` draws in all. A class without images gives NaN.
        """
        starts, counts = self.starts[self.labels], self.counts[self.labels]

        def rows(number: int) -> np.ndarray:
            return starts + (rng.random((number, len(counts))) * counts).astype(np.int64)

        for block in self._drawn(draws, rows, self.values):
            yield _divided(block, self.counts)

    def halved(self, draws: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the class means, (b, K, M) twice, of random halves of each class's images.

        A class of an odd number leaves out one image. A class of one image gives NaN.
        """
        half = self.counts // 2
        place = np.arange(len(self.labels)) - self.starts[self.labels]
        first = place < half[self.labels]
        second = ~first & (place < 2 * half[self.labels])
        halves = Sample(self.values, np.repeat(half, 2))
        chosen = np.concatenate([np.flatnonzero(first), np.flatnonzero(second)])
        chosen = chosen[np.argsort(self.labels[chosen], kind="stable")]

        def rows(number: int) -> np.ndarray:
            keys = self.labels + rng.random((number, len(self.labels)))
            return np.argsort(keys, axis=1)[:, chosen]

        for block in halves._drawn(draws, rows, self.values):
            means = _divided(block, halves.counts)
            yield means[:, 0::2], means[:, 1::2]

    def _drawn(
        self, draws: int, rows: Callable[[int], np.ndarray], values: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yield sums by class of the rows of `values` that ``rows(b)``, (b, n), names."""
        size = max(1, BLOCK // max(len(values), 1))
        for start in range(0, draws, size):
            number = min(size, draws - start)
            drawn = rows(number).ravel()
            matrix = sparse.csr_array(
                (np.ones(len(drawn)), drawn, self._pointers(number)),
                shape=(number * len(self.counts), len(values)),
            )
            yield (matrix @ values).reshape(number, len(self.counts), values.shape[1])

    def _pointers(self, number: int) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(np.tile(self.counts, number))])


def by_class(values: np.ndarray, labels: np.ndarray, classes: int) -> Sample:
    """Return the sample of values (M, N), such as a loss per λ and image, of labels (N,) < K."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=classes)
    return Sample(np.ascontiguousarray(values[:, order].T, dtype=np.float64), counts)


def _divided(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide sums (…, K, M) or (K,) by each class's count; NaN where that is not positive."""
    divisor = np.where(counts > 0, counts, np.nan)
    return sums / (divisor[:, None] if sums.ndim > 1 else divisor)
