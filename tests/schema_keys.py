"""What the schema of the config files knows: the keys of each entry, and the bounds of numbers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from cobaye import kinds
from cobaye.config import schema

CLASSES = [each for each in vars(schema).values() if hasattr(each, "model_fields")]
Place = tuple[str | int, ...]


def bounds() -> list[float]:
    """Return the bounds of all keys of the schema, and the numbers beside them."""
    stated = {
        getattr(bound, name)
        for each in CLASSES
        for field in each.model_fields.values()
        for bound in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if isinstance(getattr(bound, name, None), int | float)
    }
    stated |= {0, 1, 10**18, 2**63}
    beside = {n + step for n in stated for step in (-1, 1) if isinstance(n, int)}
    beside |= {math.nextafter(n, side) for n in stated for side in (-math.inf, math.inf)}
    return sorted({*stated, *beside, 0.5, 2**200, 1e300}, key=float)


def known_keys(file: str, entry: dict[str, Any], place: Place) -> set[str]:
    """Return the keys that the schema knows at a place."""
    parent = [file, *place][-2] if place else file
    entries = {
        "config.yaml": schema.SettingsFile, "datasets.yaml": schema.DatasetEntry,
        "backbones.yaml": schema.BackboneEntry, "models": schema.ModelEntry,
        "optimizers": schema.OptimizerEntry, "derived": schema.DerivedEntry,
    }  # fmt: skip
    families = {
        "datasets.yaml": "datasets", "models": "networks", "augment": "augmentations",
        "analyses": "analyses", "per_class": "ways",
    }  # fmt: skip
    if not place and file.startswith("studies/"):
        return set(schema.StudyFile.model_fields)
    last = place[-1] if place else ""
    family = {"algorithm": "optimizers", "schedule": "schedules"}.get(last, families.get(parent))
    kind = entry.get("kind", last)
    known = set()
    if parent in entries and bool(place) == (file != "config.yaml"):
        known |= set(entries[parent].model_fields)
    if family and kind in kinds.names(family):
        known |= {field.name for field in dataclasses.fields(kinds.options(family, kind))}
    return known
