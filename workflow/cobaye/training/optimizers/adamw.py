"""Adam with decoupled weight decay, θ ← (1 − α λ) θ (torch's AdamW; Loshchilov, Hutter, 2019)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "AdamW"


@dataclass(frozen=True)
class Options(_options.Adam):
    """Those of Adam."""
