"""A λ for each class that caps the norm of its weights (Alshammari et al. 2022, arXiv:2203.14197).

The minimum of J under ‖θ_c‖ ≤ δ is that of J with λ_c = λ + μ_c, μ_c ≥ 0 being the multiplier of
class c, and 0 where the norm is below δ. So a cap is a λ per class of one parameter. It is found
by λ_c ← max(λ, λ_c (‖θ_c‖ / δ)^RATE), a solve after each step. δ is a quantile of the norms at the
best single λ. δ and λ are those of the lowest validation loss. θ_c holds the bias where it is
penalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cobaye.class_decay.ways import Choice, Given, _solved

TABLES = ()
SPLITS = ("train", "val")
RATE = 1.5


@dataclass(frozen=True)
class Options:
    """The caps and the steps."""

    #: Quantiles of the norms at the best single λ, among which δ is chosen.
    caps: tuple[float, ...] = (0.75, 0.5, 0.25)
    #: Factors of the best single λ, among which λ is chosen.
    factors: tuple[float, ...] = (1.0, 0.25)
    #: Steps towards each cap.
    steps: int = 3

    def __post_init__(self):
        if not self.caps or not all(0 < each < 1 for each in self.caps):
            raise ValueError("caps: at least one, each above 0 and below 1")
        if not self.factors or not all(each > 0 for each in self.factors) or self.steps < 1:
            raise ValueError("factors: at least one, each above 0; steps: at least 1")


def choose(given: Given, options: Options) -> Choice:
    """Return the λ under the best cap, and how far the largest norm still exceeds it."""
    best, optimum = _solved.start(given, "max-norm"), _solved.Optimum(given)
    optimum.loss(torch.full((given.classes,), best, dtype=torch.float64))
    norms, tried = optimum.norms, []
    for factor in options.factors:
        base = decay = torch.full((given.classes,), factor * best, dtype=torch.float64)
        for quantile in sorted(options.caps, reverse=True):
            cap = torch.quantile(norms, quantile)
            for _ in range(options.steps):
                decay = torch.maximum(base, decay * (optimum.norms / cap) ** RATE)
                loss = optimum.loss(decay)
            excess = (optimum.norms.max() / cap - 1).item()
            tried.append(
                (loss, decay, {"lambda": factor * best, "cap": cap.item(), "excess": excess})
            )
            print(
                f"λ {factor * best:.3g}, δ {cap:.3g}: {loss:.4f}, excess {excess:.3f}", flush=True
            )
    loss, decay, info = min(tried, key=lambda each: each[0])
    return Choice(decay.numpy(), {**info, "losses": [each[0] for each in tried]}, parameters=2)
