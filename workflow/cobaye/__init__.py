"""The library behind the workflow: everything that computes; it knows nothing of Snakemake.

In: the files of config/, and data. Out: features, checkpoints, tables, figures and stories.

For notebooks: `WeightDecayPath`, `PerClassWeightDecay` and `read`, imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["PerClassWeightDecay", "WeightDecayPath", "read"]

# By name, so that no job's code digest counts the estimators.
_MODULES = {
    "PerClassWeightDecay": "per_class_weight_decay",
    "WeightDecayPath": "weight_decay_path",
    "read": "results_folder",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'cobaye' has no attribute {name!r}")
    return getattr(importlib.import_module(f"cobaye.estimators.{_MODULES[name]}"), name)
