"""Each class's whole curve over λ, shrunk towards what all classes have in common.

A joint model, not one λ at a time: the true mean differences of class c from the reference λ are
θ_c, of mean μ and covariance T over all λ together; what its n_c images show is y_c = θ_c + noise.
μ and T are found by moments over the classes, and θ_c is predicted by the best linear rule with the
*pooled* noise of an image, P (empirical Bayes; Efron and Morris 1973, with a covariance over λ):

    θ̂_c = μ + A_c (y_c − μ),   A_c = T (T + P/n_c)⁻¹

Pooled, because losses have long tails: where a class's images happen to leave out the tail, its
mean and its own variance are low together, and weighing classes by their own variance then biases
all of them. (The two were first compared on a test split of the study `glyphs-per-class`: its
results are no independent evidence for this choice; those on other images and backbones are.)

μ, T and P are estimates themselves. For the errors of θ̂_c, classes are drawn anew and all three
fitted again; how much the curve then moves is added to the error of the rule (Laird and Louis 1987,
doi:10.1080/01621459.1987.10478490).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from cobaye.statistics import effects, noise
from cobaye.statistics.effects import Interval
from cobaye.statistics.reliability import lowest
from cobaye.statistics.sample import Sample


@dataclass(frozen=True)
class Moments:
    """What the model is fitted to: differences from a reference λ, that λ left out.

    means: y, (K, M′), or (B, K, M′) of B draws. covariances: `noise.sampling`, (K, M′, M′). counts:
    (K,) images, all positive.
    """

    means: np.ndarray
    covariances: np.ndarray
    counts: np.ndarray

    @cached_property
    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct numbers of images, (D,), and the place there of each class, (K,)."""
        return np.unique(self.counts, return_inverse=True)


@dataclass(frozen=True)
class Fit:
    """The model's estimates, for each of B draws.

    centre: μ, (B, M′). between: T, (B, M′, M′). maps: A by distinct number of images,
    (B, D, M′, M′). seen: T + P/n, the covariance of a class's mean, (B, D, M′, M′).
    """

    centre: np.ndarray
    between: np.ndarray
    maps: np.ndarray
    seen: np.ndarray

    def curves(self, means: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return θ̂, (B, K, M′), of class means; places: of each class in `maps`, (K,)."""
        return self.centre[:, None] + applied(self.maps, means - self.centre[:, None], places)


def applied(maps: np.ndarray, vectors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return maps (B, D, M, M) of vectors (B, K, M), each class by that at its place (K,)."""
    if maps.shape[1] == 1:
        return vectors @ np.swapaxes(maps[:, 0], -1, -2)
    return (maps[:, places] @ vectors[..., None])[..., 0]


def fit(moments: Moments, weights: np.ndarray) -> Fit:
    """Fit μ, T and A for each draw; weights: (B, K), how often it takes each class.

    T is the covariance of the class means less the mean sampling covariance, its negative
    eigenvalues set to 0; with fewer than two classes it is 0: one common curve.
    """
    width, number = moments.means.shape[-1], weights[0].sum()
    share = weights / number
    centre = (share[:, None] @ moments.means)[:, 0]
    own, image = noise.pooled(moments.covariances, moments.counts, weights)
    between = np.zeros_like(own)
    if number > 1:
        centred = moments.means - centre[:, None]
        total = np.swapaxes(centred * share[..., None], -1, -2) @ centred * number / (number - 1)
        between = noise.power(total - own, 1)
    # Nearly equal λ give nearly equal columns: enough on the diagonal to solve with.
    scale = np.trace(between + own, axis1=-2, axis2=-1) / width
    floor = 1e-9 * np.where(scale > 0, scale, 1.0)[:, None, None] * np.eye(width)
    seen = (between + floor)[:, None] + image[:, None] / moments.sizes[0][:, None, None]
    rules = np.linalg.solve(seen, np.broadcast_to(between[:, None], seen.shape))
    return Fit(centre, between, np.swapaxes(rules, -1, -2), seen)


@dataclass(frozen=True)
class Shrunk:
    """The curves of differences from the column `reference`, whose column is 0.

    means: θ̂, (K, M). between: T, (M, M). deviations: standard deviations of θ̂_c − θ_c, (K, M).
    freedom: degrees of freedom of Student's t for these errors: one less than
    the classes, from which μ and T come.
    """

    reference: int
    means: np.ndarray
    between: np.ndarray
    deviations: np.ndarray
    freedom: int

    def interval(self, level: float = 0.95) -> Interval:
        """Return the curves with their central intervals, Student's, (K, M)."""
        reach = stats.t.ppf((1 + level) / 2, self.freedom) * self.deviations
        return Interval(self.means, self.means - reach, self.means + reach)

    def better(self) -> np.ndarray:
        """Return the probability that a class's true loss is below that at the reference, (K, M).

        From Student's t; ½ where nothing is known, as at the reference itself.
        """
        deviations = self.deviations
        ratio = np.divide(
            -self.means, deviations, out=np.zeros_like(self.means), where=deviations > 0
        )
        return stats.t.cdf(ratio, self.freedom)

    def chosen(self) -> np.ndarray:
        """Return the λ of the lowest point of each class's curve, (K,); ties: the larger λ."""
        return lowest(self.means)

    def sure(self, places: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return which classes have surely a lower, and a higher, loss there, (K, P) bool both.

        places: (P,) λ. A statement about the whole list: Holm's method over all K P pairs and both
        directions keeps the probability that any name is wrong at 1 − level.
        """
        better = self.better()[:, places]
        tails = np.stack([1 - better, better])
        holm = effects.adjusted(tails.reshape(-1, 1))[1].reshape(tails.shape)
        return holm[0] <= 1 - level, holm[1] <= 1 - level


def moments_of(differences: Sample, reference: int) -> Moments:
    """Return the moments of a sample all of whose classes have images."""
    inner = differences.with_values(np.delete(differences.values, reference, axis=1))
    return Moments(inner.means, noise.sampling(inner), inner.counts)


def curves(differences: Sample, reference: int) -> np.ndarray:
    """Return each class's shrunk curve, (K, M); a class without images gets μ.

    Without any images, or with one λ, all is 0.
    """
    if not _is_enough(differences):
        return np.zeros((len(differences.counts), differences.values.shape[1]))
    return _fitted(differences, reference)[0]


def _is_enough(differences: Sample) -> bool:
    return differences.values.size > 0 and differences.values.shape[1] > 1


def _fitted(differences: Sample, reference: int) -> tuple[np.ndarray, Moments, Fit]:
    """Return the shrunk curves, and what of the classes with images they are fitted to."""
    known = differences.counts > 0
    moments = moments_of(differences.selected(known), reference)
    fitted = fit(moments, np.ones((1, len(moments.counts))))
    inner = np.tile(fitted.centre[0], (len(known), 1))
    inner[known] = fitted.curves(moments.means, moments.sizes[1])[0]
    return np.insert(inner, reference, 0, axis=1), moments, fitted


def shrink(differences: Sample, reference: int, draws: int, rng: np.random.Generator) -> Shrunk:
    """Fit the model to differences from the column `reference`; draws: those of the errors.

    A class without images gets μ, and an error of covariance T beside that of μ. Without any
    images, or with one λ, all is 0.
    """
    known, width = differences.counts > 0, differences.values.shape[1]
    zeros = np.zeros((len(known), width))
    if not _is_enough(differences):
        return Shrunk(reference, zeros, np.zeros((width, width)), zeros, 1)
    means, moments, fitted = _fitted(differences, reference)
    inner = differences.with_values(np.delete(differences.values, reference, axis=1))
    variances, of_none = _errors(moments, noise.mixed(inner.selected(known)), draws, rng)
    errors = np.tile(of_none, (len(known), 1))
    errors[known] = variances
    between = np.insert(np.insert(fitted.between[0], reference, 0, axis=0), reference, 0, axis=1)
    deviations = np.sqrt(np.insert(errors, reference, 0, axis=1))
    return Shrunk(reference, means, between, deviations, max(int(known.sum()) - 1, 1))


def _errors(
    moments: Moments, mixed: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances of θ̂_c − θ_c, (K, M′), and that of a class without images, (M′,).

    With μ, T and P known the error's covariance is (1 − A) T (1 − A)ᵀ + A S_c Aᵀ, with S_c of
    `mixed`. To its mean over draws of classes comes the variance over them of θ̂_c, y_c held,
    stretched by K/(K − 1) as a bootstrap of K classes is too narrow by as much. With one class
    nothing can be drawn: T is 0, and the error is that of its own mean.
    """
    number, width = moments.means.shape
    places, own = moments.sizes[1], mixed.reshape(number, -1)
    if number < 2:
        alone = np.diagonal(mixed, axis1=1, axis2=2)
        return alone, alone[0]
    rule, first, second = (np.zeros((number, width)) for _ in range(3))
    between, centres = np.zeros(width), np.empty((draws, width))
    for draw, weights in enumerate(rng.multinomial(number, np.full(number, 1 / number), draws)):
        drawn = fit(moments, weights[None].astype(float))
        maps, rest = drawn.maps[0], np.eye(width) - drawn.maps[0]
        prior = np.einsum("dij,jk,dik->di", rest, drawn.between[0], rest)
        pairs = (maps[..., :, None] * maps[..., None, :]).reshape(len(maps), width, -1)
        for place in range(len(maps)):
            members = places == place
            rule[members] += prior[place] + own[members] @ pairs[place].T
        curves = drawn.curves(moments.means, places)[0]
        first += curves
        second += curves**2
        between += np.diagonal(drawn.between[0])
        centres[draw] = drawn.centre[0]
    stretch = number / (number - 1)
    moved = np.maximum(second / draws - (first / draws) ** 2, 0) * stretch
    return rule / draws + moved, between / draws + centres.var(axis=0) * stretch


def spread_as_true(differences: Sample, reference: int) -> np.ndarray:
    """Return class curves, (K, M), that vary between classes as the true ones are estimated to.

    μ + B_c (y_c − μ), B_c the symmetric map that takes a normal distribution of covariance
    V = T + P/n_c to one of covariance T, V^(−½) (V^½ T V^½)^½ V^(−½): observed means vary more than
    the true ones do, shrunk ones less. Every class has images, and there are two classes or more.
    """
    moments = moments_of(differences, reference)
    fitted = fit(moments, np.ones((1, len(moments.counts))))
    root = noise.power(fitted.seen, 0.5)
    maps = noise.power(root @ fitted.between[:, None] @ root, 0.5)
    back = noise.power(fitted.seen, -0.5)
    moved = applied(back @ maps @ back, moments.means - fitted.centre[0], moments.sizes[1])
    return np.insert(fitted.centre[0] + moved[0], reference, 0, axis=1)
