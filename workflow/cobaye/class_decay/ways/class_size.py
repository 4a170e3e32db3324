"""A λ for each class by its number n of training images: λ_c = λ (n_c / n̄)^−γ, n̄ geometric.

λ and γ are those of the lowest validation loss that steps on a grid find, from the best single λ
and γ = 0 to neighbours, each solved to its optimum. γ < 0 is a smaller λ for small classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.class_decay.ways import Choice, Given, _solved

TABLES = ()
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Options:
    """The grid."""

    #: Step of γ.
    step: float = 0.25
    #: Factor between neighbouring λ.
    factor: float = 2.0
    #: Most steps, of λ and of γ, away from the start.
    farthest: int = 8

    def __post_init__(self):
        if not self.step > 0 or not self.factor > 1 or self.farthest < 1:
            raise ValueError("step: above 0; factor: above 1; farthest: at least 1")


def choose(given: Given, options: Options) -> Choice:
    """Return the λ of the place on the grid that has no better neighbour."""
    base, optimum = _solved.start(given, "class-size"), _solved.Optimum(given)
    size = optimum.counts.log() - optimum.counts.log().mean()
    losses: dict[tuple[int, int], float] = {}

    def decay(place: tuple[int, int]):
        return base * options.factor ** place[0] * (-options.step * place[1] * size).exp()

    def loss(place: tuple[int, int]) -> float:
        if place not in losses:
            losses[place] = optimum.loss(decay(place))
            print(f"λ {place[0]:+d}, γ {place[1]:+d} steps: {losses[place]:.4f}", flush=True)
        return losses[place]

    place, last = (0, 0), None
    while place != last:
        around = [place, *((place[0], place[1] + s) for s in (1, -1))]
        around += [(place[0] + s, place[1]) for s in (1, -1)]
        near = [each for each in around if max(map(abs, each)) <= options.farthest]
        place, last = min(near, key=loss), place
    info = {
        "lambda": base * options.factor ** place[0],
        "gamma": options.step * place[1],
        "losses": [[*at, value] for at, value in losses.items()],
    }
    return Choice(decay(place).numpy(), info, parameters=2)
