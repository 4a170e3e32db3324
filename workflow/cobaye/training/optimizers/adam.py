"""Adam, with the gradient of the penalty among the rest (torch's Adam; Kingma and Ba, 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from cobaye.training.optimizers import _options

TORCH = "Adam"


@dataclass(frozen=True)
class Options(_options.Adam):
    """Those of Adam."""
